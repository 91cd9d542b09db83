"""Requests that wait for a permit that never comes; tornado."""

import asyncio
import sys

import tornado.web

permits = asyncio.Semaphore(0)


async def take_permit():
    async with permits:
        pass


class Root(tornado.web.RequestHandler):
    def get(self):
        self.write("")


class Permit(tornado.web.RequestHandler):
    async def get(self):
        await take_permit()


async def main():
    app = tornado.web.Application([("/", Root), ("/permit", Permit)])
    app.listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
