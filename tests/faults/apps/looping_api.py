"""Handlers that are plain functions under FastAPI: AnyIO's worker threads run them, of which there is one. ASGI."""

from __future__ import annotations

import contextlib

import anyio.to_thread
import truth
from fastapi import FastAPI, Response
from planted import FAULTS
from suspending import SUSPENDING

WORKERS = 1


@contextlib.asynccontextmanager
async def live(_):
    """Have one worker thread."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = WORKERS
    yield


app = FastAPI(lifespan=live)


@app.get("/_truth")
async def told():
    return Response(truth.as_json())


@app.get("/sync-{name}/{number}")
def in_a_worker(name: str, number: int, ms: float = 80):
    """Run one of the threads' faults; what it waits for outside of its own code nobody clocks here."""
    with truth.request(f"/sync-{name}/{number}"):
        return Response(FAULTS[name](ms / 1000, None))


@app.get("/{name}/{number}")
async def in_the_loop(name: str, number: int, ms: float = 80):
    with truth.serving(f"/{name}/{number}"):
        return Response(await SUSPENDING[name](ms / 1000))
