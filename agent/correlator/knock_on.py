"""What becomes of the other waits of an endpoint's requests when one mechanism is gone: by a queueing model.

Who waits for the interpreter lock, the loop, a worker or a CPU waits for others of its kind. Where these did there what
is gone, waiting shrinks, by more than the work does; where it was done elsewhere, they come back the sooner, and wait.
Requests that wait for a lock that others of their endpoint hold, wait for what these do with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.stations import waiting_ns
from perfwatch.agent.model import COLUMN, Bucket, Mechanism

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from perfwatch.agent.correlator.demand import Asked
    from perfwatch.agent.correlator.fair import Taken
    from perfwatch.agent.model import Verdict

ON_CPU: Final = COLUMN["on_cpu"]
_LOOPED: Final[tuple[Bucket, ...]] = ("loop", "queue")
"""What waits for an event loop: what was begun, and what has not been read."""
_LOCKS: Final[frozenset[Mechanism]] = frozenset({"lock", "pool"})
_COMPUTING: Final[frozenset[Mechanism]] = frozenset({"cpu", "gc"})


class Held(NamedTuple):
    """Requests of one endpoint that wait for each other, and what the one that is waited for does meanwhile."""

    mechanism: Mechanism
    """What it does while it has the lock."""
    part: float
    """So much of the waits for locks is for that."""


def held_by(verdict: Verdict, name: str) -> Held | None:
    """Return what an endpoint's chain of blame says of that: it begins with another request of its own."""
    first = verdict.chain[0] if verdict.chain else None
    if first is None or first.kind != "request" or first.name != name or first.mechanism is None:
        return None
    waited = sum(one.share for one in verdict.causes if one.mechanism in _LOCKS)
    return Held(first.mechanism, min(first.share / waited, 1.0)) if waited > 0 else None


class Place(NamedTuple):
    """Where an endpoint's requests run."""

    process: Asked
    host: Asked | None
    """All processes together."""
    cpus: int
    blocks: bool
    """What is gone is done on their event loop, and keeps it from others."""
    held: Held | None


class Change(NamedTuple):
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


class Share(NamedTuple):
    """What an endpoint's requests are of those of a process, and what they have on average."""

    part: float
    gone_ns: float
    computed_ns: float
    served_ns: float
    """All but what it waited for a worker."""

    def of(self, all_ns: float, own_ns: float, *, takes: bool) -> float:
        """Return what is gone of the mean of all requests; of a demand no more than its own part of that.

        What is known of all and of its own is not of the very same moment.
        """
        gone_ns = self.part * self.gone_ns
        return gone_ns * min(all_ns / (self.part * own_ns), 1.0) if takes and own_ns > 0 else gone_ns


def share_of(some: Sequence[Taken], gone: Sequence[float], part: float) -> Share:
    """Return what requests of one process have on average, which are this part of all of it."""
    count = len(some)
    computed_ns = sum([one.booked_ns[ON_CPU] for one in some]) / count
    served_ns = sum([one.total_ns - one.booked_ns[COLUMN["queue"]] for one in some]) / count
    return Share(part, max(sum(gone), 0.0) / count, computed_ns, served_ns)


def changes(mechanism: Mechanism, mine: Share, place: Place) -> Iterable[Change]:
    """Yield what becomes of the waits for each station that the requests go through."""
    asked, host, computing = place.process, place.host, mechanism in _COMPUTING
    on_cpu_ns = asked.mean_ns("on_cpu")
    gone_ns = mine.of(on_cpu_ns, mine.computed_ns, takes=computing)
    if asked.on_loops and mechanism not in ("event-loop", "queue"):
        blocking = place.blocks and not computing
        loop = _Station(on_cpu_ns + blocking * gone_ns, takes=computing or blocking)
        yield from (_change(bucket, loop, gone_ns, asked) for bucket in _LOOPED)
    elif not asked.on_loops and mechanism != "queue":
        served_ns = asked.total_ns - asked.mean_ns("queue")
        workers = _Station(served_ns, takes=True, servers=asked.threads)
        yield _change("queue", workers, mine.of(served_ns, mine.served_ns, takes=True), asked)
        if mechanism != "gil" and asked.threads > 1:
            yield _change("gil", _Station(on_cpu_ns, computing), gone_ns, asked)
    if place.held is not None and place.held.mechanism == mechanism:
        yield Change(COLUMN["lock"], 1.0 - place.held.part, 0.0)
    # One interpreter lock lets one thread at a time come to the CPUs: it crowds them only where it is what is gone.
    if host is not None and (computing or mechanism in ("gil", "queue")):
        cpus = _Station(host.mean_ns("on_cpu"), computing, place.cpus)
        yield _change("run_queue", cpus, gone_ns * asked.requests / host.requests, host)


def _change(bucket: Bucket, station: _Station, gone_ns: float, asked: Asked) -> Change:
    """Return what becomes of the waits for a station when requests spend less there, or elsewhere."""
    column, population = COLUMN[bucket], asked.population
    elsewhere_ns = asked.round_ns - station.demand_ns - asked.mean_ns(bucket)
    before_ns = waiting_ns(station.demand_ns, population, elsewhere_ns, station.servers)
    left_ns, gone_elsewhere_ns = (station.demand_ns - gone_ns, 0.0) if station.takes else (station.demand_ns, gone_ns)
    after_ns = waiting_ns(left_ns, population, elsewhere_ns - gone_elsewhere_ns, station.servers)
    if after_ns <= before_ns:
        return Change(column, after_ns / before_ns if before_ns > 0 else 1.0, 0.0)
    computed_ns = asked.mean_ns("on_cpu")
    return Change(column, 1.0, (after_ns - before_ns) / computed_ns if computed_ns > 0 else 0.0)
