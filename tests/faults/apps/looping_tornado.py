"""The planted faults of event loops under tornado: `python looping_tornado.py 8000`."""

from __future__ import annotations

import asyncio
import sys

import tornado.web
from looping import answer


class Page(tornado.web.RequestHandler):
    async def get(self):
        status, body = await answer(self.request.path, self.request.query)
        self.set_status(status)
        self.finish(body)


async def main(port):
    application = tornado.web.Application([(".*", Page)], log_function=lambda _: None)
    application.listen(port, "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
