"""The planted faults that are chains of blame: who waits for whom, because that one waits for another."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import serving_loops
from faults.catalogue import CONCURRENCY, LOCKED, SYNC, Fault, clients
from faults.loop_catalogue import PG, WEB

UVICORN = functools.partial(serving_loops.uvicorn, loop="asyncio", http="h11")


@dataclass(frozen=True)
class ChainFault:
    """A fault, and the chain that is true of its first endpoint."""

    fault: Fault
    chain: tuple[tuple[str, str | None], ...]
    """Of each link its kind, and what it did."""
    says: str
    """What the summary must say of it; `{NAME}` stands for an environment variable's value."""

    @property
    def name(self):
        """Of the fault."""
        return self.fault.name


def chain(name, load, *links, says, mechanism="lock", bucket="lock", kind=None, quick=False, **fields):
    """Return a fault of waiting, with its chain."""
    fault = Fault(name, load, CONCURRENCY, mechanism, bucket, kind or bucket, quick=quick, **fields)
    return ChainFault(fault, links, says)


QUERY = (("request", "dependency"), ("peer", None))
PEER = "waits for postgresql 127.0.0.1:{PG}"
REPORTED = (clients("/needs-report/{n}", 2), clients("/report/{n}?ms=120", 1, pause_s=0.04))
FRONT = (
    clients("/front/{n}", 2),
    clients("/middle/{n}", 1, pause_s=0.01),
    clients("/back/{n}?ms=120", 1, pause_s=0.03),
)
POOLED = (clients("/psycopg-quick/{n}", 2), clients("/psycopg-hold/{n}?ms=80", 1, pause_s=0.04))
HELD = (clients("/locked/{n}", 2), clients("/hold-lock/{n}?ms=80", 1, pause_s=0.04))
CALLED = (clients("/fast/{n}", 3), clients("/blocking-call/{n}?ms=60", 1, pause_s=0.04))

CHAINS = (
    chain(
        *("lock-over-query", REPORTED, *QUERY),
        says=f"held by report() at chaining.py:38, because it {PEER}",
        around=(PG,),
        quick=True,
    ),
    chain(
        *("holder-of-holder", FRONT, ("request", "lock"), ("request", "sleep")),
        says="() at chaining.py:60, because it waits for a lock held by GET /back/{{}} in back() at chaining.py:53",
        quick=True,
    ),
    chain("lock-over-sleep", LOCKED, ("request", "sleep"), says=", because it sleeps"),
    chain(
        *("kept-lock", (clients("/kept-lock/{n}?ms=60", 3),), ("thread", "sleep")),
        says="held by _keep() at coding.py:69, because it sleeps",
    ),
    chain(
        *("kept-query", (clients("/kept-query/{n}?ms=80", 3),), ("thread", "dependency"), ("peer", None)),
        says="held by _keep() at chaining.py:76, because it waits for 127.0.0.1:{PG}",
        around=(PG,),
        quick=True,
    ),
    chain(
        *("pool-over-query", POOLED, *QUERY),
        says=PEER,
        mechanism="pool",
        kind="permit",
        around=(PG,),
    ),
    chain(
        *("loop-blocked-by-call", CALLED, *QUERY),
        says="because it waits for http/1 {FAULTY_NEXT_DOOR}",
        mechanism="event-loop",
        bucket="loop",
        kind="outside",
        around=(WEB,),
        server=UVICORN,
    ),
    chain(
        *("pool-over-query-asyncio", POOLED, *QUERY),
        says=PEER,
        mechanism="pool",
        kind="permit",
        around=(PG,),
        server=UVICORN,
    ),
    chain(
        *("lock-over-sleep-asyncio", HELD, ("request", "sleep")),
        says="for a lock in locked() at suspending.py:175, because GET /hold-lock/{{}} sleeps",
        server=UVICORN,
    ),
    chain(
        *("queue-over-sleep", (clients("/sleep/{n}?ms=20", 8, 0),), ("request", "sleep")),
        says="for a free worker, because GET /sleep/{{}} sleeps",
        mechanism="queue",
        bucket="queue",
        kind="outside",
        server=SYNC,
    ),
)
