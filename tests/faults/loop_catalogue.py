"""The planted faults of event loops, pools and calls: who keeps others waiting and who waits, both to be told."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import serving_loops
from faults import services, surroundings
from faults.catalogue import CAPACITY, CONCURRENCY, EFFICIENCY, GTHREAD, clients

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import serving

    from perfwatch.examples.load import Endpoint


@dataclass(frozen=True)
class Party:
    """One endpoint of a fault, and what is true of its slow requests."""

    endpoint: Endpoint
    principle: str
    mechanism: str
    bucket: str
    """Of the ledger: where most of their time must be."""
    kind: str
    """What the server clocked as the fault; `outside`: what of the latency its handler did not see."""
    named: str | None = None
    """The environment variable whose value the evidence must name."""
    held_by: str | None = None
    """The route of the requests that they waited for, which must be named, or their function."""
    second: tuple[str, str] | None = None
    """A further mechanism that must be told, and the server's name for it."""
    chain: tuple[tuple[str, str | None], ...] = ()
    """Who is to blame for whom, to the end: of each link its kind, and what it did. Empty where it is not labelled."""

    @property
    def route(self):
        """The endpoint, as a report names it."""
        return self.endpoint.call.path.partition("?")[0].replace("{n}", "{}")


@dataclass(frozen=True)
class LoopFault:
    """One fault: whoever takes part in it, on a server."""

    name: str
    parties: tuple[Party, ...]
    server: Callable[..., AbstractContextManager[serving.Server]]
    around: tuple[Callable[[], AbstractContextManager[dict[str, str]]], ...] = ()
    seconds: float = 3
    quick: bool = False
    """Belongs to the default run."""

    @property
    def load(self):
        """What its clients do."""
        return tuple(party.endpoint for party in self.parties)


PG, REDIS, WEB, SECURE = surroundings.postgres, services.redis, services.web, services.secure_web
LOOPS = ("asyncio", "uvloop")


def does(path, principle, mechanism, bucket, kind=None, *, named=None, count=1, pause_s=0.04):
    """Whoever causes a wait, or is slow by itself."""
    return Party(clients(path, count, pause_s), principle, mechanism, bucket, kind or bucket, named)


def waits(path, mechanism, bucket, kind, held_by=None, *, count=2, pause_s=0.01):
    """Whoever waits for others."""
    return Party(clients(path, count, pause_s), CONCURRENCY, mechanism, bucket, kind, held_by=held_by)


def keeps_loop(path, *judged, named=None):
    """Return a request that keeps the loop, and those that could have run meanwhile."""
    blocker = does(path, *judged, named=named)
    return blocker, waits("/fast/{n}", "event-loop", "loop", "outside", blocker.route, count=3)


def sleeps(path):
    return does(path, EFFICIENCY, "sleep", "sleep")


def depends(path, named="PG"):
    return does(path, CAPACITY, "dependency", "calls", named=named)


def pooled(name):
    """Return a request that has the only connection of a pool, and those that wait for it."""
    named = "REDIS" if name == "redis" else "PG"
    held = depends(f"/{name}-hold/{{n}}?ms=80", named)
    return held, waits(f"/{name}-quick/{{n}}", "pool", "lock", "permit", held.route)


SLEEPS = keeps_loop("/block/{n}?ms=60", EFFICIENCY, "sleep", "sleep")
BURNS = keeps_loop("/burn/{n}?ms=60", EFFICIENCY, "cpu", "on_cpu", "cpu")
BURNS_GREEN = keeps_loop("/cpu/{n}?ms=60", EFFICIENCY, "cpu", "on_cpu", "cpu")
CALLS = keeps_loop("/blocking-call/{n}?ms=60", CAPACITY, "dependency", "calls", named="FAULTY_NEXT_DOOR")
REQUESTS = keeps_loop("/blocking-requests/{n}?ms=60", CAPACITY, "dependency", "calls", named="FAULTY_NEXT_DOOR")
PERMIT = (sleeps("/hold-permit/{n}?ms=60"), waits("/permit/{n}", "pool", "lock", "permit", "/hold-permit/{}"))
LOCK = (sleeps("/hold-lock/{n}?ms=60"), waits("/locked/{n}", "lock", "lock", "lock", "/hold-lock/{}"))
EXECUTOR = (sleeps("/long-job/{n}?ms=60"), waits("/job/{n}", "queue", "queue", "queue"))
ANYIO = (sleeps("/sync-sleep/{n}?ms=60"), waits("/sync-fast/{n}", "queue", "queue", "outside"))
NAPS = (sleeps("/nap/{n}?ms=60"),)
THREADS = (sleeps("/thread/{n}?ms=60"),)
AWAITS = (depends("/call/{n}?ms=60", "FAULTY_WEB"),)
CHATTY = (does("/chatty/{n}?ms=40", EFFICIENCY, "chatty", "calls", named="PG"),)
CONNECTING = (does("/connecting/{n}?ms=120", EFFICIENCY, "connect", "calls", "connect", named="PG"),)
SECURED = (does("/secured/{n}?ms=80", EFFICIENCY, "tls", "calls", "tls", named="FAULTY_SECURE_WEB"),)
TRANSFER = (does("/transfer/{n}?ms=80", EFFICIENCY, "transfer", "calls", named="FAULTY_WEB"),)
SLOW_QUERY = (depends("/slow-query/{n}?ms=60"),)
GREEN_CALL = (depends("/web-call/{n}?ms=60", "FAULTY_WEB"),)
BUSY = (
    does("/sleep/{n}?ms=60", EFFICIENCY, "sleep", "sleep", count=2, pause_s=0.02),
    waits("/fast/{n}", "queue", "queue", "outside"),
)

OF_LOOPS = {
    "sleep": (SLEEPS, ()),
    "cpu": (BURNS, ()),
    "blocking-call": (CALLS, (WEB,)),
    "blocking-requests": (REQUESTS, (WEB,)),
    "permit": (PERMIT, ()),
    "lock": (LOCK, ()),
    "executor": (EXECUTOR, ()),
    "nap": (NAPS, ()),
    "thread": (THREADS, ()),
    "awaited-call": (AWAITS, (WEB,)),
    "psycopg-pool": (pooled("psycopg"), (PG,)),
    "asyncpg-pool": (pooled("asyncpg"), (PG,)),
    "redis-pool": (pooled("redis"), (REDIS,)),
    "chatty": (CHATTY, (PG,)),
    "connecting": (CONNECTING, (PG,)),
    "tls": (SECURED, (SECURE,)),
    "slow-query": (SLOW_QUERY, (PG,)),
    "transfer": (TRANSFER, (WEB,)),
}
OF_THREADS = {
    "psycopg-pool": (pooled("psycopg"), (PG,)),
    "sqlalchemy-pool": (pooled("sqlalchemy"), (PG,)),
    "redis-pool": (pooled("redis"), (REDIS,)),
    "chatty": (CHATTY, (PG,)),
    "connecting": (CONNECTING, (PG,)),
    "tls": (SECURED, (SECURE,)),
    "transfer": (TRANSFER, (WEB,)),
}
OF_GREENLETS = {
    "sleep": (SLEEPS, ()),
    "cpu": (BURNS_GREEN, ()),
    "nap": ((sleeps("/sleep/{n}?ms=60"),), ()),
    "awaited-call": (GREEN_CALL, (WEB,)),
}
QUICK = {"sleep-uvloop", "permit-asyncio", "chatty-asyncio", "psycopg-pool-threads"}


def _faults():
    for loop in LOOPS:
        server = functools.partial(serving_loops.uvicorn, loop=loop, http="h11" if loop == "asyncio" else "httptools")
        for name, (parties, around) in OF_LOOPS.items():
            yield f"{name}-{loop}", parties, server, around
        api = functools.partial(serving_loops.uvicorn, "looping_api:app", loop=loop)
        yield f"worker-threads-{loop}", ANYIO, api, ()
    for name, (parties, around) in OF_THREADS.items():
        yield f"{name}-threads", parties, GTHREAD, around
    for name, (parties, around) in OF_GREENLETS.items():
        yield f"{name}-gevent", parties, serving_loops.gunicorn_gevent, around
    yield "waitress", BUSY, serving_loops.waitress, ()


LOOP_FAULTS = tuple(LoopFault(*fault, quick=fault[0] in QUICK) for fault in _faults())
