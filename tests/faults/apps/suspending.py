"""Planted faults of an event loop: one coroutine each, which blocks or waits in one way and clocks it.

Each takes how long it shall last, and returns the answer. What belongs to a loop is made in the loop that runs.
Python 3.8 to 3.13.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import http.client
import os
import time

from coding import garbage
from planted import burn as _burn
from truth import awaited, measured, waited

WEB = os.environ.get("FAULTY_WEB", "")
NEXT_DOOR = os.environ.get("FAULTY_NEXT_DOOR", "")
"""A second web service, so that a loop can be blocked by a call to one while others await the other."""
CALL_TIMEOUT_S = 30
PARALLEL = 8
HEAD = "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: {}\r\n\r\n"

_one_worker = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="one-worker")
_many_workers = concurrent.futures.ThreadPoolExecutor(16, thread_name_prefix="many-workers")
_idle = []


@functools.lru_cache(None)
def permits():
    """Return the semaphore of one permit."""
    return asyncio.Semaphore(1)


@functools.lru_cache(None)
def lock():
    """Return the lock."""
    return asyncio.Lock()


async def fast(seconds):
    """Nothing at all."""
    return b"ok"


async def nap(seconds):
    """Wait on a timer, as a coroutine should."""
    with awaited("sleep"):
        await asyncio.sleep(seconds)
    return b"ok"


async def block(seconds):
    """Keep the loop by sleeping in it."""
    with measured("sleep"):
        time.sleep(seconds)  # noqa: ASYNC251 - the fault
    return b"ok"


async def burn(seconds):
    """Keep the loop by computing in it."""
    with measured("cpu"):
        _burn(seconds)
    return b"ok"


async def blocking_call(seconds):
    """Keep the loop by a synchronous call to another service."""
    host, _, port = NEXT_DOOR.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=CALL_TIMEOUT_S)
    with measured("calls"):
        connection.request("GET", f"/wait?ms={seconds * 1000:.0f}")
        connection.getresponse().read()
    connection.close()
    return b"ok"


async def blocking_requests(seconds):
    """The same by means of requests, as it is most often done."""
    import requests

    with measured("calls"):
        requests.get(f"http://{NEXT_DOOR}/wait?ms={seconds * 1000:.0f}", timeout=CALL_TIMEOUT_S)  # noqa: ASYNC210
    return b"ok"


async def call(seconds):
    """Await another service, on connections that are kept."""
    with awaited("calls"):
        await ask(WEB, f"/wait?ms={seconds * 1000:.0f}")
    return b"ok"


async def calls_in_turn(seconds):
    """Await another service three times, one after the other."""
    for _ in range(3):
        await call(seconds)
    return b"ok"


async def calls_at_once(seconds):
    """Await another service three times at once."""
    await asyncio.gather(*(call(seconds) for _ in range(3)))
    return b"ok"


async def gather(seconds):
    """Await many answers at once: as slow as one of them, and not chatty."""
    with awaited("calls"):
        await asyncio.gather(*(ask(WEB, f"/wait?ms={seconds * 1000:.0f}") for _ in range(PARALLEL)))
    return b"ok"


async def collect(seconds):
    """Keep the loop by collecting garbage in it."""
    garbage(seconds, None)
    return b"ok"


async def transfer(seconds):
    """Await an answer that is large and comes slowly."""
    with awaited("calls"):
        await ask(WEB, f"/bytes?kb=2048&ms={seconds * 1000:.0f}")
    return b"ok"


async def ask(service, path):
    """Get a path from a web service and read all of the answer."""
    reader, writer = _idle.pop() if _idle else await _connected(service)
    start_ns = time.monotonic_ns()
    writer.write(HEAD.format(path, "keep-alive").encode())
    head = await reader.readuntil(b"\r\n\r\n")
    left = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while left > 0:
        left -= len(await reader.read(1 << 18))
    waited("on {}:{}".format(*writer.get_extra_info("sockname")), start_ns, time.monotonic_ns())
    _idle.append((reader, writer))


async def _connected(service):
    host, _, port = service.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def hold_permit(seconds):
    """Have the only permit, and wait."""
    async with permits():
        with awaited("sleep"):
            await asyncio.sleep(seconds)
    return b"ok"


async def permit(seconds):
    """Wait for the permit."""
    with awaited("permit"):
        await permits().acquire()
    permits().release()
    return b"ok"


async def hold_lock(seconds):
    """Have the lock, and wait."""
    async with lock():
        with awaited("sleep"):
            await asyncio.sleep(seconds)
    return b"ok"


async def locked(seconds):
    """Wait for the lock."""
    with awaited("lock"):
        await lock().acquire()
    lock().release()
    return b"ok"


async def long_job(seconds):
    """Keep the only worker."""
    with awaited("sleep"):
        await asyncio.get_running_loop().run_in_executor(_one_worker, _sleep, seconds)
    return b"ok"


async def job(seconds):
    """Wait for the only worker."""
    asked_ns = time.monotonic_ns()
    begun_ns = await asyncio.get_running_loop().run_in_executor(_one_worker, time.monotonic_ns)
    waited("queue", asked_ns, begun_ns)
    return b"ok"


async def thread(seconds):
    """Sleep in a worker thread, of which there are enough."""
    with awaited("sleep"):
        await asyncio.get_running_loop().run_in_executor(_many_workers, _sleep, seconds)
    return b"ok"


async def thread_burn(seconds):
    """Compute in a worker thread."""
    with awaited("cpu"):
        await asyncio.get_running_loop().run_in_executor(_many_workers, _burn, seconds)
    return b"ok"


@functools.lru_cache(None)
def both():
    """Return two locks, and what is set when both are taken."""
    return asyncio.Lock(), asyncio.Lock(), asyncio.Event()


async def forward(seconds):
    """Take two locks, one after the other, once `backward` has the other."""
    first, second, taken = both()
    async with first:
        await taken.wait()
        async with second:
            return b"never"


async def backward(seconds):
    """Take the same two in the opposite order."""
    first, second, taken = both()
    async with second:
        taken.set()
        async with first:
            return b"never"


@functools.lru_cache(None)
def other_both():
    """Return two more."""
    return asyncio.Lock(), asyncio.Lock(), asyncio.Event()


async def acquire_forward(seconds):
    """Take two locks by `await acquire()`, one after the other, once `acquire_backward` has the other."""
    first, second, taken = other_both()
    await first.acquire()
    try:
        await taken.wait()
        async with second:
            return b"never"
    finally:
        first.release()


async def acquire_backward(seconds):
    """Take the same two in the opposite order."""
    first, second, taken = other_both()
    await second.acquire()
    taken.set()
    await first.acquire()
    first.release()
    second.release()
    return b"never"


def _sleep(seconds):
    time.sleep(seconds)


SUSPENDING = {
    function.__name__.replace("_", "-"): function
    for function in (
        *(fast, nap, block, burn, collect, blocking_call, blocking_requests, call, gather, transfer),
        *(hold_permit, permit, hold_lock, locked, long_job, job, thread, thread_burn, forward, backward),
        *(acquire_forward, acquire_backward),
        *(calls_in_turn, calls_at_once),
    )
}
