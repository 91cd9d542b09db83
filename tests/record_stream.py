"""A long stream of plausible records, second by second: many endpoints, connections, calls, slow requests, corrections.

Half of the requests go through threads and half through event loops; one of fifty is slow, with its waits and stacks,
one of a hundred is corrected, four of ten call another service. Each second has the samples of all probes. The same
arguments give the same records.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import around_in_bulk as bulk
import coding as c
import looped as lo
import making as m
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.model import Record
    from perfwatch.probes.records import ServedRequest

NAMES = ("user", "order", "item", "cart", "price", "stock", "review", "search", "page", "tag")
ROUTES = tuple(f"/api/{name}{more}/{{}}" for name in NAMES for more in ("", "-list"))
SLOW_MS = (("lock", 300), ("calls", 250), ("sleep", 200), ("gil", 150), ("disk", 120), ("on_cpu", 180))
PROCESSES, THREADS, CONNECTIONS = 8, 8, 200
STACKS = m.stacks(c.RENDER, c.GET)


class Stream:
    """One session."""

    def __init__(self, rate: int, seed: int = 1, *, routes: Sequence[str] = ROUTES, threads: int = THREADS) -> None:
        """`threads` of each of the processes."""
        self._rate, self._routes, self._threads = rate, routes, threads
        self._chance = random.Random(seed)
        self._number = 0

    def second(self, number: int) -> Iterator[Record]:
        """Yield the records of one second, in order of time."""
        yield from bulk.full_second(number)
        told = []
        for place in range(self._rate):
            at_ms = number * 1000 + place * 1000 / self._rate
            if place % max(self._rate // 4, 1) == 0:
                yield m.in_flight(at_ms, *(m.opened(10**9 + n, 5 + n, at_ms, "on_cpu") for n in range(8)))
            self._number += 1
            record = self._request(self._number, at_ms)
            yield record
            if self._chance.random() < 0.01:
                told.append(msgspec.structs.replace(record, sent_bytes=record.sent_bytes + 1))
        for record in told:
            yield msgspec.structs.replace(record, at_ns=m.START + (number + 1) * m.SECOND - 1)

    def _request(self, number: int, at_ms: float) -> ServedRequest:
        chance = self._chance
        route = self._routes[chance.randrange(len(self._routes))].replace("{}", str(chance.randrange(10**6)))
        spent = {"queue": chance.expovariate(2), "on_cpu": chance.expovariate(0.5), "run_queue": chance.expovariate(5)}
        asks = chance.random() < 0.4
        if asks:
            spent["calls"] = chance.expovariate(0.3)
        waits: tuple = ()
        if chance.random() < 0.02:
            bucket, mean_ms = SLOW_MS[chance.randrange(len(SLOW_MS))]
            spent[bucket] = spent.get(bucket, 0.0) + mean_ms * (0.5 + chance.random())
            waits = (
                m.wait(bucket, spent[bucket], stack=0, started_ns=m.START + round((at_ms - spent[bucket]) * m.MS)),
            )
        fields = {
            "connection": chance.randrange(CONNECTIONS),
            "pid": 4313 + chance.randrange(PROCESSES),
            "tid": 5000 + chance.randrange(PROCESSES * self._threads),
            "target": route,
            "waits": waits,
            "code": STACKS if waits else m.stacks(),
            "ran": m.ran((at_ms - 1, 0)) if waits else (),
        }
        if number % 2:
            spent["loop"] = chance.expovariate(1)
            fields["threads"] = "followed"
        record = m.served(number, at_ms, **spent, **fields)
        if not asks:
            return record
        call = lo.call(at_ms - spent["calls"], spent["calls"], peer=f"10.0.0.{chance.randrange(4)}:5432")
        return msgspec.structs.replace(record, calls=(call,))
