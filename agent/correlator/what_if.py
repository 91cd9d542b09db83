"""What an endpoint's latency would be if one mechanism were gone: predicted from the ledgers of its requests.

1. From each request of a fair sample the time that the mechanism explains is taken away, and what it waited for a CPU
   after such waits; with calls that need not be also what it computes for them (`call_work.py`). Of a judged one
   exactly that, of one that was too quick to be judged the part of its buckets that the judged ones lost to it
   (`explained.py`). What its coroutine was suspended in, where nobody knows that, is taken to be what it is in the
   others.
2. What else it waited for changes with the load, which a queueing model tells (`knock_on.py`). Where others of its kind
   kept the interpreter lock, the loop, the workers or the CPUs by what is gone, waiting shrinks, by more than the work
   does. And what was held back by a wait that is gone comes to the next place the sooner, and waits there.
3. The quantiles of what is left, in proportion to those of the sample, are those of the endpoint.

What other endpoints do stays as it was, and so does what a request itself computes: it predicts one change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from perfwatch.agent.correlator.explained import Part, gone_of, parts
from perfwatch.agent.correlator.knock_on import ON_CPU, Place, changes, share_of
from perfwatch.agent.correlator.latencies import nearest_rank
from perfwatch.agent.model import Bucket, Mechanism, WhatIf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.correlator.demand import Asked, Demand
    from perfwatch.agent.correlator.fair import FairSample, Taken
    from perfwatch.agent.correlator.knock_on import Held
    from perfwatch.agent.model import Latency


class Base(NamedTuple):
    """What predictions of one endpoint are made from."""

    sample: FairSample
    demand: Demand
    cpus: int
    blocked_by: Bucket | None
    """What its requests do while they keep their event loop from others; None where they do not."""
    held_by: Held | None
    """What they wait for each other for."""


class Predictions:
    """Those of one endpoint, kept until what they are made of changes."""

    __slots__ = ("_known", "_of", "_ratios")

    def __init__(self) -> None:
        self._known: tuple[object, ...] = ()
        self._ratios: dict[Mechanism, tuple[float, float]] = {}
        self._of = 0
        """So many requests they were made of."""

    def of(
        self, mechanisms: Iterable[Mechanism], latency: Latency, base: Base, *, glance: bool = False
    ) -> tuple[WhatIf, ...]:
        """Predict for each mechanism; about 0.3 ms each where it is made anew: for a glance, with half as many more."""
        known = (base.sample.version, base.demand.version, base.blocked_by, base.held_by)
        is_near = glance and 2 * base.sample.stands_for <= 3 * self._of
        if known != self._known and not is_near:
            self._known, self._ratios, self._of = known, {}, base.sample.stands_for
        wanted = tuple(mechanisms) if _is_known_well(base.sample) else ()
        if any(one not in self._ratios for one in wanted):
            self._ratios |= zip(wanted, ratios(wanted, base), strict=True)
        told = ((one, *self._ratios[one]) for one in wanted)
        return tuple(WhatIf(one, round(p50 * latency.p50, 3), round(p95 * latency.p95, 3)) for one, p50, p95 in told)


def ratios(mechanisms: Iterable[Mechanism], base: Base) -> Iterator[tuple[float, float]]:
    """Yield what p50 and p95 would be, as parts of what they are."""
    by_process: dict[int, list[Taken]] = {}
    known = [one for one in base.sample.settled if one.is_known]
    for one in known:
        by_process.setdefault(one.pid, []).append(one)
    before = sorted([one.total_ns for one in known])
    for part in parts(mechanisms, known):
        after: list[float] = []
        for pid, some in by_process.items():
            after += _left(part, base, some, base.demand.asked.get(pid))
        after.sort()
        yield _ratio(before, after, 0.50), _ratio(before, after, 0.95)


def _is_known_well(sample: FairSample) -> bool:
    return 2 * sum([one.is_known for one in sample.settled]) >= max(len(sample.settled), 1)


def _ratio(before: Sequence[float], after: Sequence[float], quantile: float) -> float:
    was_ns = nearest_rank(before, quantile) if before else 0
    return min(max(nearest_rank(after, quantile) / was_ns, 0.0), 1.0) if was_ns > 0 else 1.0


def _left(part: Part, base: Base, some: list[Taken], asked: Asked | None) -> list[float]:
    """Return what is left of the latency of each request of one process; 0.5 us each."""
    gone = [gone_of(one, part) for one in some]
    left = [one.total_ns - gone_ns for one, gone_ns in zip(some, gone, strict=True)]
    if asked is None:
        return left
    sample = base.sample
    share = min(sample.stands_for * len(some) / len(sample.settled) / max(asked.requests, 1), 1.0)
    place = Place(asked, base.demand.together, base.cpus, base.blocked_by in part.buckets, base.held_by)
    for change in changes(part.mechanism, share_of(some, gone, share), place):
        if change.factor < 1.0:
            shrunk, column = 1.0 - change.factor, change.column
            left = [now_ns - shrunk * max(one.booked_ns[column], 0) for now_ns, one in zip(left, some, strict=True)]
        elif change.more > 0.0:
            left = [
                now_ns + change.more * max(one.booked_ns[ON_CPU], 0) for now_ns, one in zip(left, some, strict=True)
            ]
    return left
