"""Requests that wait for a permit that never comes; aiohttp."""

import asyncio
import sys

from aiohttp import web

permits = asyncio.Semaphore(0)


async def take_permit():
    async with permits:
        pass


async def root(request):
    return web.Response()


async def permit(request):
    await take_permit()


app = web.Application()
app.add_routes([web.get("/", root), web.get("/permit", permit)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
