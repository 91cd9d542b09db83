"""A FastAPI application with the middleware around it, on any Python from 3.8 on."""

import asyncio
import time

from fastapi import APIRouter, FastAPI
from perfwatch_middleware import PerfwatchMiddleware
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, StreamingResponse

app = FastAPI()
shop = FastAPI()
posts = APIRouter(prefix="/users/{user}")
started = []


@app.on_event("startup")
def start():
    started.append("lifespan")


def burn_apple(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(100))


def burn_pear(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(100))


async def wait_apple():
    await asyncio.sleep(0.02)


async def wait_pear():
    await asyncio.sleep(0.02)


@app.get("/")
async def home():
    return started


@app.get("/sleep/{number}")
async def sleep(number: int):
    await asyncio.sleep(0.02)
    return number


@app.get("/apple/{number}")
async def apple(number: int):
    for _ in range(6):
        burn_apple(0.01)
        await wait_apple()
    return number


@app.get("/pear/{number}")
async def pear(number: int):
    for _ in range(6):
        burn_pear(0.01)
        await wait_pear()
    return number


@app.get("/both/{number}")
async def both(number: int):
    await asyncio.gather(wait_apple(), pear(number))
    return number


@app.get("/pages")
async def pages():
    async def parts():
        for _ in range(5):
            await asyncio.sleep(0.02)
            yield b"page"

    return StreamingResponse(parts())


@app.get("/after")
async def after():
    return JSONResponse("ok", background=BackgroundTask(asyncio.sleep, 0.2))


@app.get("/raise")
async def fail():
    raise KeyError("secret")


@posts.get("/posts/{slug}")
async def post(user: int, slug: str):
    return slug


@shop.get("/items/{item:path}")
async def item_of(tenant: str, item: str):
    return item


app.include_router(posts, prefix="/v1")
app.mount("/tenants/{tenant}", shop)
app = PerfwatchMiddleware(app)
