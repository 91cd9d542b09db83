"""Requests that wait for a permit that never comes, directly and by way of others; ASGI."""

import asyncio

import anyio
from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware

permits = asyncio.Semaphore(0)
app = FastAPI()


async def passed_on(request, call_next):
    return await call_next(request)


app.add_middleware(BaseHTTPMiddleware, dispatch=passed_on)


async def take_permit():
    async with permits:
        pass


@app.get("/")
async def root():
    return {}


@app.get("/permit")
async def permit():
    await take_permit()


@app.get("/nap")
async def nap():
    await asyncio.sleep(1)


@app.get("/gather")
async def gather():
    await asyncio.gather(take_permit(), take_permit())


@app.get("/in_time")
async def in_time():
    await asyncio.wait_for(take_permit(), 1000)


@app.get("/group")
async def group():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_permit)
        tasks.start_soon(take_permit)
