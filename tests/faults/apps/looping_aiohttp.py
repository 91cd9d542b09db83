"""The planted faults of event loops under aiohttp's server: `python looping_aiohttp.py 8000`."""

from __future__ import annotations

import sys

from aiohttp import web
from looping import answer


async def page(request):
    status, body = await answer(request.path, request.query_string)
    return web.Response(status=status, body=body)


if __name__ == "__main__":
    application = web.Application()
    application.router.add_get("/{tail:.*}", page)
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
