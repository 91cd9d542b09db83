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
from perfwatch.agent.correlator.shares import BUCKETS_OF
from perfwatch.agent.correlator.stations import waiting_ns
from perfwatch.agent.model import BUCKETS, Bucket, Mechanism, WhatIf

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from perfwatch.agent.correlator.demand import Asked, Demand
    from perfwatch.agent.correlator.fair import FairSample, Taken
    from perfwatch.agent.correlator.looks import Looks
    from perfwatch.agent.correlator.pooling import Pool
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

    latency: Latency
    requests: int
    """All that it had."""
    sample: FairSample
    pool: Pool
    """Its judged ones."""
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

    columns: tuple[int, ...]
    quick: float
    """Of these buckets, of a request that was not judged."""
    unseen: float
    """More, or less, of the time in which nobody looked at its tasks."""


def predict(mechanisms: Iterable[Mechanism], base: Base) -> tuple[WhatIf, ...]:
    """Predict for each mechanism; about 0.3 ms each."""
    before = sorted(one.total_ns for one in base.sample)
    if not before or not before[-1] > 0:
        return ()
    return tuple(_predicted(mechanism, base, before) for mechanism in mechanisms)


def _predicted(mechanism: Mechanism, base: Base, before: list[int]) -> WhatIf:
    after = sorted(round(left_ns) for left_ns in _left(mechanism, base))
    p50_ms = _in_proportion(base.latency.p50, before, after, 0.50)
    p95_ms = _in_proportion(base.latency.p95, before, after, 0.95)
    return WhatIf(mechanism, round(p50_ms, 3), round(p95_ms, 3))


def _in_proportion(now_ms: float, before: list[int], after: list[int], quantile: float) -> float:
    was_ns = nearest_rank(before, quantile)
    return now_ms * min(max(nearest_rank(after, quantile) / was_ns, 0.0), 1.0) if was_ns > 0 else now_ms


def _left(mechanism: Mechanism, base: Base) -> list[float]:
    """Return what is left of each request's latency."""
    part = _part(mechanism, base.pool)
    by_process: dict[int, list[tuple[Taken, float]]] = {}
    for one in base.sample:
        by_process.setdefault(one.pid, []).append((one, _gone(one, mechanism, part)))
    left: list[float] = []
    for pid, some in by_process.items():
        asked = base.demand.asked.get(pid)
        changes = () if asked is None else tuple(_changes(mechanism, some, asked, base))
        left += (max(one.total_ns - gone_ns + _changed(one, changes), 0.0) for one, gone_ns in some)
    return left


def _part(mechanism: Mechanism, pool: Pool) -> _Part:
    columns = tuple(_COLUMN[bucket] for bucket in _BUCKETS[mechanism])
    known_ns = pool.spent_ns.get(mechanism, 0)
    spent_ns = pool.balance().spent_ns.get(mechanism, 0) * pool.count
    booked_ns = sum(pool.booked_ns[column] for column in columns)
    unseen_ns = _unseen_ns(pool.looks)
    quick = min(max(spent_ns / booked_ns, 0.0), 1.0) if booked_ns > 0 else 0.0
    return _Part(columns, quick, (spent_ns - known_ns) / unseen_ns if unseen_ns > 0 and pool.looks.changes() else 0.0)


def _unseen_ns(looks: Looks) -> int:
    return sum(looks.short_ns.values()) + sum(looks.unwatched_ns.values())


def _gone(one: Taken, mechanism: Mechanism, part: _Part) -> float:
    """Return how much of a request's latency the mechanism explains."""
    if one.balance is None:
        gone_ns = part.quick * sum(one.booked_ns[column] for column in part.columns)
    else:
        gone_ns = one.balance.spent_ns.get(mechanism, 0)
        if part.unseen:
            gone_ns += part.unseen * _unseen_ns(one.balance.looks)
    return min(max(gone_ns, 0.0), one.total_ns)


def _changed(one: Taken, changes: Sequence[_Change]) -> float:
    """Return how much longer a request would wait for what it still waits for; negative where it is less."""
    computed_ns = max(one.booked_ns[_ON_CPU], 0)
    return sum(
        max(one.booked_ns[change.column], 0) * (change.factor - 1.0) + computed_ns * change.more for change in changes
    )


def _changes(mechanism: Mechanism, some: Sequence[tuple[Taken, float]], asked: Asked, base: Base) -> Iterable[_Change]:
    """Yield what becomes of the waits for each station that requests of one process go through."""
    share = min(base.requests * len(some) / len(base.sample) / max(asked.requests, 1), 1.0)
    gone_ns = share * sum(gone for _, gone in some) / len(some)
    computing = mechanism in _COMPUTING
    on_cpu_ns = asked.mean_ns("on_cpu")
    if asked.on_loops and mechanism not in ("event-loop", "queue"):
        blocking = not computing and base.blocked_by in _BUCKETS[mechanism]
        loop = _Station(on_cpu_ns + blocking * gone_ns, takes=computing or blocking)
        yield from (_change(bucket, loop, gone_ns, asked) for bucket in _LOOPED)
    elif not asked.on_loops and mechanism != "queue":
        workers = _Station(asked.total_ns - asked.mean_ns("queue"), takes=True, servers=asked.threads)
        yield _change("queue", workers, gone_ns, asked)
        if mechanism != "gil":
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
