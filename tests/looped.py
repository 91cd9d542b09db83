"""Hand-made records of requests that call others, share an event loop, or wait for what others have."""

from __future__ import annotations

import coding as c
import making as m
import msgspec

from perfwatch.probes.frames import Frame, StackTable, Task, TasksSample
from perfwatch.probes.records import Call, Culprit

DB, CACHE, API = "10.0.0.5:5432", "10.0.0.9:6379", "10.0.0.7:443"
ONE_ROW = "SELECT * FROM item WHERE id = ?"
ASYNCIO = f"{c.STDLIB}/asyncio"
LOOP = (
    Frame("Handle._run", f"{ASYNCIO}/events.py", 84),
    Frame("BaseEventLoop._run_once", f"{ASYNCIO}/base_events.py", 1910),
    Frame("Runner.run", f"{ASYNCIO}/runners.py", 118),
)
WORKER = (
    Frame("_WorkItem.run", f"{c.STDLIB}/concurrent/futures/thread.py", 58),
    Frame("Thread.run", f"{c.STDLIB}/threading.py", 1010),
)
NAP = (c.own("nap", "app.py", 12), *LOOP)
CRUNCH = (c.own("crunch", "app.py", 30), *LOOP)
SEMAPHORE = (Frame("Semaphore.acquire", f"{ASYNCIO}/locks.py", 390), c.own("limited", "app.py", 50))
MUTEX = (Frame("Lock.acquire", f"{ASYNCIO}/locks.py", 115), c.own("exclusive", "app.py", 60))
TIMER = (Frame("sleep", f"{ASYNCIO}/tasks.py", 639), c.own("poll", "app.py", 70))
PSYCOPG = (
    Frame("Condition.wait", f"{c.STDLIB}/threading.py", 355),
    Frame("WaitingClient.wait", f"{c.SITE}/psycopg_pool/pool.py", 887),
    Frame("ConnectionPool._getconn_unchecked", f"{c.SITE}/psycopg_pool/pool.py", 271),
    Frame("ConnectionPool.getconn", f"{c.SITE}/psycopg_pool/pool.py", 210),
    c.own("order", "shop.py", 41),
    *WORKER,
)
UNTOLD = (c.own("gathers", "app.py", 80),)
TO_THREAD = (
    Frame("Event.wait", f"{c.SITE}/anyio/_backends/_asyncio.py", 1770),
    Frame("CapacityLimiter.acquire_on_behalf_of", f"{c.SITE}/anyio/_backends/_asyncio.py", 1980),
    Frame("AsyncIOBackend.run_sync_in_worker_thread", f"{c.SITE}/anyio/_backends/_asyncio.py", 2470),
    Frame("run_sync", f"{c.SITE}/anyio/to_thread.py", 56),
    Frame("run_in_threadpool", f"{c.SITE}/starlette/concurrency.py", 34),
)


def call(from_ms: float, ms: float, **fields) -> Call:
    """One call that began `from_ms` after the start, on a connection that stood; all of it waiting for the answer."""
    made = {
        "started_ns": c.at(from_ms),
        "connected_ns": None,
        "secured_ns": None,
        "sent_ns": c.at(from_ms),
        "answered_ns": c.at(from_ms + ms),
        "ended_ns": c.at(from_ms + ms),
        "peer": DB,
        "local": "10.0.0.1:40000",
        "connection": 7,
        "tid": 4313,
        "protocol": "postgresql",
        "operation": ONE_ROW,
        "sent_bytes": 60,
        "received_bytes": 200,
    }
    return Call(**(made | fields))


def opening(from_ms: float, connect: float, tls: float = 0, wait: float = 1, **fields) -> Call:
    """A call that opens its connection first."""
    connected, secured = from_ms + connect, from_ms + connect + tls
    times = {
        "connected_ns": c.at(connected),
        "secured_ns": c.at(secured) if tls else None,
        "sent_ns": c.at(secured),
        "answered_ns": c.at(secured + wait),
    }
    return call(from_ms, connect + tls + wait, **(times | fields))


def large(from_ms: float, wait: float, transfer: float, size: int = 40_000_000, **fields) -> Call:
    """A call whose answer takes long to be read."""
    return call(from_ms, wait + transfer, answered_ns=c.at(from_ms + wait), received_bytes=size, **fields)


def in_a_row(count: int, ms: float, *, gap: float = 0.1, from_ms: float = -900, **fields) -> tuple[Call, ...]:
    return tuple(call(from_ms + number * (ms + gap), ms, **fields) for number in range(count))


def calling(*calls: Call, at_ms: float = 0, number: int = 1, **fields):
    """A request of 1,000 ms or so that ended `at_ms` after the start; what its calls took is booked to `calls`."""
    spent = sum(one.ended_ns - one.started_ns for one in calls) / m.MS
    made = {"calls": spent, "on_cpu": 20}
    made |= {key: fields.pop(key) for key in [*fields] if key in m.BUCKETS}
    record = m.served(number, at_ms, **made, **fields)
    started_ns = min([record.started_ns, *(one.started_ns for one in calls)])
    return msgspec.structs.replace(record, started_ns=started_ns, calls=tuple(calls))


def followed(number: int, at_ms: float = 0, **fields):
    return m.served(number, at_ms, threads="followed", **fields)


def kept(ms: float, by: int | None, from_ms: float = -500, **fields):
    """A wait for the loop that another request kept meanwhile."""
    return m.wait("loop", ms, waker=m.waker(by), call=None, started_ns=c.at(from_ms), **fields)


def culprit(request: int | None, ms: float, target: str | None = "/block", method: str | None = "GET") -> Culprit:
    return Culprit(request, method, target, round(ms * m.MS), 4313, 4313)


def victim(number: int, ms: float, by: int | None, *, from_ms: float = -500, at_ms: float = 0, **fields):
    """A request that lost `ms` in one stretch to another one."""
    made = {"on_cpu": 2, "culprits": (culprit(by, ms),), "waits": (kept(ms, by, from_ms),), "target": "/fast"}
    return followed(number, at_ms, loop=ms, **(made | fields))


def suspended(ms: float, from_ms: float, **fields):
    return m.wait("other", ms, call=None, detail="suspended", started_ns=c.at(from_ms), **fields)


def streams(
    at_ms: float, *chains: tuple[str | None, tuple[Frame, ...]], client: str = "127.0.0.1:50000"
) -> TasksSample:
    """A reading of the tasks of one connection that speaks HTTP/2: (path, chain of awaits)."""
    sample = tasks(at_ms, *((client, chain) for _, chain in chains))
    paths = [path for path, _ in chains]
    named = [msgspec.structs.replace(task, target=path) for task, path in zip(sample.tasks, paths, strict=True)]
    return msgspec.structs.replace(sample, tasks=tuple(named))


def tasks(at_ms: float, *chains: tuple[str | None, tuple[Frame, ...]], pid: int = 4313) -> TasksSample:
    """A reading of the tasks: (client, chain of awaits)."""
    table = m.stacks(*(chain for _, chain in chains)) if chains else StackTable()
    read = tuple(Task(number, client, number, "_asyncio.Future") for number, (client, _) in enumerate(chains))
    return TasksSample(c.at(at_ms), pid, len(read), table, read)
