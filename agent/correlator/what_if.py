"""What an endpoint's latency would be if one mechanism were gone: predicted from the ledgers of its requests.

1. From each request of a fair sample the time that the mechanism explains is taken away: of a judged one exactly that,
   of one that was too quick to be judged the part of its buckets that the judged ones lost to it.
2. What else it waited for changes with the load, which a queueing model tells (`stations.py`). Where others of its kind
   kept the interpreter lock, the loop, the workers or the CPUs by what is gone, waiting shrinks, by more than the work
   does. And what was held back by a wait that is gone comes to the next place the sooner, and waits there.
3. The quantiles of what is left, in proportion to those of the sample, are those of the endpoint.

What other endpoints do stays as it was, and so does what a request itself computes: it predicts one change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.latencies import nearest_rank
from perfwatch.agent.correlator.looks import NOBODY
from perfwatch.agent.correlator.shares import BUCKETS_OF
from perfwatch.agent.correlator.stations import waiting_ns
from perfwatch.agent.model import BUCKETS, Bucket, Mechanism, WhatIf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.correlator.demand import Asked, Demand
    from perfwatch.agent.correlator.fair import FairSample, Taken
    from perfwatch.agent.correlator.looks import Looks
    from perfwatch.agent.model import Latency

_BUCKETS: Final[dict[Mechanism, tuple[Bucket, ...]]] = BUCKETS_OF | {
    "event-loop": ("loop",),
    "queue": ("queue",),
    "run-queue": ("run_queue", "gil"),
    "throttle": ("run_queue", "gil"),
}
_LOOPED: Final[tuple[Bucket, ...]] = ("loop", "queue")
"""What waits for an event loop: what was begun, and what has not been read."""
_COMPUTING: Final[frozenset[Mechanism]] = frozenset({"cpu", "gc"})
_COLUMN: Final[dict[Bucket, int]] = {bucket: place for place, bucket in enumerate(BUCKETS)}
_ON_CPU: Final = _COLUMN["on_cpu"]


class Base(NamedTuple):
    """What predictions of one endpoint are made from."""

    sample: FairSample
    demand: Demand
    cpus: int
    blocked_by: Bucket | None
    """What its requests do while they keep their event loop from others; None where they do not."""


class _Change(NamedTuple):
    """What becomes of the waits of one bucket."""

    column: int
    factor: float
    """Where they shrink."""
    more: float
    """Where they grow: so much more for each unit of time on a CPU."""


class _Station(NamedTuple):
    """A place that requests go through."""

    demand_ns: float
    """What a request of the process wants of it, on average."""
    takes: bool
    """What is gone, was done there."""
    servers: int = 1


class _Part(NamedTuple):
    """How much of a request's time a mechanism explains, where its own verdict does not say."""

    mechanism: Mechanism
    columns: tuple[int, ...]
    quick: float
    """Of these buckets, of a request that was not judged."""
    unseen: float
    """What of the time in which nobody looked at its tasks is taken for it besides; negative: was, and is not."""


class Predictions:
    """Those of one endpoint, kept until what they are made of changes."""

    __slots__ = ("_known", "_ratios")

    def __init__(self) -> None:
        self._known: tuple[object, ...] = ()
        self._ratios: dict[Mechanism, tuple[float, float]] = {}

    def of(self, mechanisms: Iterable[Mechanism], latency: Latency, base: Base) -> tuple[WhatIf, ...]:
        """Predict for each mechanism; about 0.3 ms each where it is made anew."""
        known = (base.sample.version, base.demand.version, base.blocked_by)
        if known != self._known:
            self._known, self._ratios = known, {}
        wanted = tuple(mechanisms)
        if any(one not in self._ratios for one in wanted):
            self._ratios |= zip(wanted, ratios(wanted, base), strict=True)
        told = ((one, *self._ratios[one]) for one in wanted)
        return tuple(WhatIf(one, round(p50 * latency.p50, 3), round(p95 * latency.p95, 3)) for one, p50, p95 in told)


def ratios(mechanisms: Iterable[Mechanism], base: Base) -> Iterator[tuple[float, float]]:
    """Yield what p50 and p95 would be, as parts of what they are."""
    by_process: dict[int, list[Taken]] = {}
    for one in base.sample.settled:
        by_process.setdefault(one.pid, []).append(one)
    before = sorted([one.total_ns for one in base.sample.settled])
    for part in _parts(mechanisms, base.sample.settled):
        after: list[float] = []
        for pid, some in by_process.items():
            after += _left(part, base, some, base.demand.asked.get(pid))
        after.sort()
        yield _ratio(before, after, 0.50), _ratio(before, after, 0.95)


def _ratio(before: Sequence[float], after: Sequence[float], quantile: float) -> float:
    was_ns = nearest_rank(before, quantile) if before else 0
    return min(max(nearest_rank(after, quantile) / was_ns, 0.0), 1.0) if was_ns > 0 else 1.0


def _left(part: _Part, base: Base, some: list[Taken], asked: Asked | None) -> list[float]:
    """Return what is left of the latency of each request of one process; 0.5 us each."""
    gone = [_gone(one, part) for one in some]
    left = [one.total_ns - gone_ns for one, gone_ns in zip(some, gone, strict=True)]
    if asked is None:
        return left
    sample = base.sample
    share = min(sample.stands_for * len(some) / len(sample.settled) / max(asked.requests, 1), 1.0)
    for change in _changes(part.mechanism, share * max(sum(gone), 0.0) / len(some), asked, base):
        if change.factor < 1.0:
            shrunk, column = 1.0 - change.factor, change.column
            left = [now_ns - shrunk * max(one.booked_ns[column], 0) for now_ns, one in zip(left, some, strict=True)]
        elif change.more > 0.0:
            left = [
                now_ns + change.more * max(one.booked_ns[_ON_CPU], 0) for now_ns, one in zip(left, some, strict=True)
            ]
    return left


def _parts(mechanisms: Iterable[Mechanism], sample: Sequence[Taken]) -> Iterator[_Part]:
    """Yield for each mechanism what the judged requests say of the others."""
    judged = [(one.booked_ns, one.balance) for one in sample if one.balance is not None]
    looks = NOBODY
    for _, balance in judged:
        looks = looks.plus(balance.looks) if balance.looks is not NOBODY else looks
    changes = looks.changes()
    for mechanism in mechanisms:
        columns = tuple(_COLUMN[bucket] for bucket in _BUCKETS[mechanism])
        more_ns = changes.get(mechanism, 0)
        spent_ns = sum([balance.spent_ns.get(mechanism, 0) for _, balance in judged]) + more_ns
        booked_ns = sum([booked[column] for column in columns for booked, _ in judged])
        quick = min(max(spent_ns / booked_ns, 0.0), 1.0) if booked_ns > 0 else 0.0
        unseen_ns = _unseen_ns(looks, mechanism, taken_for_it=more_ns < 0)
        yield _Part(mechanism, columns, quick, more_ns / unseen_ns if unseen_ns > 0 else 0.0)


def _unseen_ns(looks: Looks, mechanism: Mechanism, *, taken_for_it: bool) -> int:
    """Return how long nobody looked at its tasks while it did what is taken for a mechanism, or for something else."""
    its_ns = looks.short_ns.get(mechanism, 0) + looks.unwatched_ns.get(mechanism, 0)
    return its_ns if taken_for_it else sum(looks.short_ns.values()) + sum(looks.unwatched_ns.values()) - its_ns


def _gone(one: Taken, part: _Part) -> float:
    """Return how much of a request's latency the mechanism explains."""
    if one.balance is None:
        return part.quick * sum([one.booked_ns[column] for column in part.columns])
    gone_ns = one.balance.spent_ns.get(part.mechanism, 0)
    if not part.unseen:
        return gone_ns
    return gone_ns + part.unseen * _unseen_ns(one.balance.looks, part.mechanism, taken_for_it=part.unseen < 0)


def _changes(mechanism: Mechanism, gone_ns: float, asked: Asked, base: Base) -> Iterable[_Change]:
    """Yield what becomes of the waits for each station of a process, of whose requests this much is gone on average."""
    computing = mechanism in _COMPUTING
    on_cpu_ns = asked.mean_ns("on_cpu")
    if asked.on_loops and mechanism not in ("event-loop", "queue"):
        blocking = not computing and base.blocked_by in _BUCKETS[mechanism]
        loop = _Station(on_cpu_ns + blocking * gone_ns, takes=computing or blocking)
        yield from (_change(bucket, loop, gone_ns, asked) for bucket in _LOOPED)
    elif not asked.on_loops and mechanism != "queue":
        workers = _Station(asked.total_ns - asked.mean_ns("queue"), takes=True, servers=asked.threads)
        yield _change("queue", workers, gone_ns, asked)
        if mechanism != "gil" and asked.threads > 1:
            yield _change("gil", _Station(on_cpu_ns, computing), gone_ns, asked)
    host = base.demand.together
    # One interpreter lock lets one thread at a time come to the CPUs: it crowds them only where it is what is gone.
    if host is not None and (computing or mechanism in ("gil", "queue")):
        cpus = _Station(host.mean_ns("on_cpu"), computing, base.cpus)
        yield _change("run_queue", cpus, gone_ns * asked.requests / host.requests, host)


def _change(bucket: Bucket, station: _Station, gone_ns: float, asked: Asked) -> _Change:
    """Return what becomes of the waits for a station when requests spend less there, or elsewhere."""
    column, population = _COLUMN[bucket], asked.population
    elsewhere_ns = asked.round_ns - station.demand_ns - asked.mean_ns(bucket)
    before_ns = waiting_ns(station.demand_ns, population, elsewhere_ns, station.servers)
    left_ns, gone_elsewhere_ns = (station.demand_ns - gone_ns, 0.0) if station.takes else (station.demand_ns, gone_ns)
    after_ns = waiting_ns(left_ns, population, elsewhere_ns - gone_elsewhere_ns, station.servers)
    if after_ns <= before_ns:
        return _Change(column, after_ns / before_ns if before_ns > 0 else 1.0, 0.0)
    computed_ns = asked.mean_ns("on_cpu")
    return _Change(column, 1.0, (after_ns - before_ns) / computed_ns if computed_ns > 0 else 0.0)
