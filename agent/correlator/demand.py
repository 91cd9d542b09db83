"""What the requests of each process ask of it, and how many come: what a queueing model of it is made of.

How many requests go round is told by Little's law: those that end per second times the time of one round, which is its
latency and its client's pause. The pause is what lies between an answer and the next request on the same connection;
where connections are mostly used once it is not known. Then clients are taken to be many that come rarely (`OPEN_NS`),
unless a process does all that it can: they ask again at once, or as if they did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.booked import BookedSums
from perfwatch.agent.correlator.recent import Recent
from perfwatch.agent.model import COLUMN, arrival_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from perfwatch.agent.model import Bucket, ServedRequest

OPEN_NS: Final = 1_000_000_000_000
"""The pause of clients that nothing is known of: so long that none waits for its own last answer."""
_SATURATED: Final = 0.9
_MAX_PROCESSES: Final = 256
_MAX_THREADS: Final = 256
_CONNECTIONS: Final = 4096
_REUSED: Final = 0.5


class Asked(NamedTuple):
    """What one process is asked for, as it was when last summed up; means are per request, in nanoseconds."""

    requests: int
    rate: float
    """Requests per nanosecond."""
    total_ns: float
    booked_ns: tuple[float, ...]
    pause_ns: float
    """Of a client, between an answer and its next request."""
    threads: int
    """That have served requests."""
    on_loops: bool
    """An event loop serves them."""

    @property
    def population(self) -> float:
        """How many requests or pausing clients there are."""
        return self.rate * self.round_ns

    @property
    def round_ns(self) -> float:
        """From one request of a client to its next."""
        return self.total_ns + self.pause_ns

    def mean_ns(self, bucket: Bucket) -> float:
        """Return the mean of a bucket."""
        return self.booked_ns[COLUMN[bucket]]


class _Process:
    """The sums of one process."""

    __slots__ = (
        "booked",
        "count",
        "first_ns",
        "last_ns",
        "on_loops",
        "pause_ns",
        "reused",
        "threads",
        "total_ns",
    )

    def __init__(self, first_ns: int) -> None:
        self.first_ns = self.last_ns = first_ns
        self.count = self.total_ns = self.pause_ns = self.reused = 0
        self.booked = BookedSums()
        self.threads: set[int] = set()
        self.on_loops = False

    def add(self, record: ServedRequest, sign: int) -> None:
        self.count += sign
        self.total_ns += sign * max(record.ended_ns - arrival_of(record), 0)
        self.booked.add(record.booked_ns, sign)

    def asked(self) -> Asked:
        count, rate = max(self.count, 1), max(self.count - 1, 0) / max(self.last_ns - self.first_ns, 1)
        return Asked(
            requests=self.count,
            rate=rate,
            total_ns=self.total_ns / count,
            booked_ns=tuple(booked / count for booked in self.booked.each()),
            pause_ns=self._pause_ns(rate / count),
            threads=len(self.threads),
            on_loops=self.on_loops,
        )

    def _pause_ns(self, rate_of_each: float) -> float:
        if self.reused >= _REUSED * self.count and self.reused > 0:
            return self.pause_ns / self.reused
        booked_ns = self.booked.each()
        computing, serving = booked_ns[COLUMN["on_cpu"]], self.total_ns - booked_ns[COLUMN["queue"]]
        busy = rate_of_each * max(computing, 0 if self.on_loops else serving / max(len(self.threads), 1))
        return 0.0 if busy >= _SATURATED else OPEN_NS


class Demand:
    """All processes, at most 256; what is told of them is summed up each time that an eighth more requests have come.

    So that what is made of it depends on the records, and not on when somebody looks.
    """

    def __init__(self) -> None:
        self._processes: dict[int, _Process] = {}
        self._answered: Recent[int, int] = Recent(_CONNECTIONS)
        self._count = 0
        self.asked: Mapping[int, Asked] = {}
        self.together: Asked | None = None
        """All processes as one."""
        self.version = 0
        """Changes when `asked` does."""

    def served(self, record: ServedRequest, earlier: ServedRequest | None) -> None:
        """Take in a request that has ended, in place of what was told of it before; 3 us."""
        process = self._processes.get(record.pid)
        if process is None:
            if len(self._processes) >= _MAX_PROCESSES:
                del self._processes[next(iter(self._processes))]
            process = self._processes[record.pid] = _Process(record.ended_ns)
        if earlier is None:
            self._paused(process, record)
        elif earlier.pid == record.pid:
            process.add(earlier, -1)
        process.add(record, 1)
        process.last_ns = max(process.last_ns, record.ended_ns)
        process.on_loops = process.on_loops or record.threads == "followed"
        if len(process.threads) < _MAX_THREADS:
            process.threads.add(record.tid)
        self._answered.put(record.connection, record.ended_ns)
        self._count += 1
        if self._count > self.version * 9 // 8:
            self.version = self._count
            self.asked = {pid: one.asked() for pid, one in self._processes.items()}
            self.together = together(self.asked.values())

    def _paused(self, process: _Process, record: ServedRequest) -> None:
        answered_ns = self._answered.get(record.connection)
        if answered_ns is not None:
            process.reused += 1
            process.pause_ns += max(arrival_of(record) - answered_ns, 0)


def together(each: Iterable[Asked]) -> Asked | None:
    """Return the means over several processes; None where there is no request."""
    some = [one for one in each if one.requests > 0]
    count = sum(one.requests for one in some)
    if not count:
        return None

    def mean(values: Iterable[float]) -> float:
        return sum(one.requests * value for one, value in zip(some, values, strict=True)) / count

    return Asked(
        requests=count,
        rate=sum(one.rate for one in some),
        total_ns=mean(one.total_ns for one in some),
        booked_ns=tuple(map(mean, zip(*(one.booked_ns for one in some), strict=True))),
        pause_ns=mean(one.pause_ns for one in some),
        threads=sum(one.threads for one in some),
        on_loops=any(one.on_loops for one in some),
    )
