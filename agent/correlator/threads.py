"""The target's threads: their states, how long they waited for CPUs, and what samples of them add up to."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.rates import grown
from perfwatch.agent.model import BUCKETS, Bucket

if TYPE_CHECKING:
    from perfwatch.agent.correlator.series import Span
    from perfwatch.probes.samples import ThreadsSample, ThreadTime

_MAX_PROCESSES: Final = 64
_MAX_THREADS: Final = 256
_KEPT: Final = 1024
_STALE_NS: Final = 10_000_000_000


class _Waited(NamedTuple):
    """How long the threads of one process waited for CPUs between two readings."""

    from_ns: int
    at_ns: int
    wait_ns: int


class Spent(NamedTuple):
    """What sampled threads did."""

    spent_ns: dict[Bucket, int]
    """Without idle time."""
    idle_ns: int
    unaccounted_ns: int
    """Thread time that the samples could not book."""
    samples: int


class ThreadStates:
    """The newest reading of each process's threads."""

    def __init__(self) -> None:
        self._latest: dict[int, ThreadsSample] = {}
        self._waited: deque[_Waited] = deque(maxlen=_KEPT)
        self._from_ns: int | None = None
        self._wait_ns = 0

    def sample(self, sample: ThreadsSample) -> None:
        """Take in the threads of a process; costs about 40 us with 256 threads."""
        before = self._latest.pop(sample.pid, None)
        if len(self._latest) >= _MAX_PROCESSES:
            del self._latest[next(iter(self._latest))]
        self._latest[sample.pid] = sample
        if before is not None and before.at_ns < sample.at_ns:
            self._count(_waited(before, sample))

    def _count(self, waited: _Waited | None) -> None:
        if waited is not None:
            self._waited.append(waited)
            self._from_ns = waited.from_ns if self._from_ns is None else self._from_ns
            self._wait_ns += waited.wait_ns

    def states(self, now_ns: int) -> tuple[tuple[str, int], ...]:
        """Return (state, threads in it) of the processes that were seen in the last 10 s, the largest first."""
        counter = Counter(one.state for sample in self._alive(now_ns) for one in sample.threads[:_MAX_THREADS])
        return tuple(sorted(counter.items(), key=lambda one: (-one[1], one[0])))

    def count(self, now_ns: int) -> int | None:
        """Return how many threads the target has; None where they were not read lately."""
        alive = self._alive(now_ns)
        return sum(sample.count for sample in alive) if alive else None

    def waiting(self, span: Span) -> float | None:
        """Return how many threads waited for a CPU on average; None without two readings that say it."""
        if not self._waited:
            return None
        from_ns, until_ns, wait_ns = self._from_ns, self._waited[-1].at_ns, self._wait_ns
        if span.from_ns is not None:
            within = [one for one in self._waited if span.from_ns <= one.at_ns <= span.until_ns]
            from_ns = min((one.from_ns for one in within), default=None)
            until_ns = max((one.at_ns for one in within), default=0)
            wait_ns = sum(one.wait_ns for one in within)
        return None if from_ns is None or until_ns <= from_ns else wait_ns / (until_ns - from_ns)

    def _alive(self, now_ns: int) -> list[ThreadsSample]:
        return [sample for sample in self._latest.values() if now_ns - sample.at_ns <= _STALE_NS]


class ThreadTimes:
    """Thread time by bucket, summed over all processes since the first record (sampled fidelity)."""

    def __init__(self) -> None:
        self._spent_ns = [0] * len(BUCKETS)
        self._idle_ns = 0
        self._unaccounted_ns = 0
        self._samples = 0
        self._last_ns: dict[int, int] = {}

    def add(self, record: ThreadTime) -> None:
        """Take in what one process's threads did since its last record; costs about 4 us."""
        booked = [max(spent_ns, 0) for spent_ns in record.booked_ns[: len(BUCKETS)]]
        booked += [0] * (len(BUCKETS) - len(booked))
        idle_ns = max(record.idle_ns, 0)
        self._spent_ns = [mine + more for mine, more in zip(self._spent_ns, booked, strict=True)]
        self._idle_ns += idle_ns
        self._samples += max(record.samples, 0)
        last_ns = self._last_ns.pop(record.pid, None)
        if len(self._last_ns) >= _MAX_PROCESSES:
            del self._last_ns[next(iter(self._last_ns))]
        self._last_ns[record.pid] = record.at_ns
        if last_ns is not None:
            lived_ns = record.threads * max(record.at_ns - last_ns, 0)
            self._unaccounted_ns += max(lived_ns - sum(booked) - idle_ns, 0)

    @property
    def spent(self) -> Spent | None:
        """What the threads did; None where they were not sampled."""
        if not self._samples:
            return None
        spent_ns = dict(zip(BUCKETS, self._spent_ns, strict=True))
        return Spent(spent_ns, self._idle_ns, self._unaccounted_ns, self._samples)


def _waited(before: ThreadsSample, after: ThreadsSample) -> _Waited | None:
    """Sum over the threads of both readings: a new one's first has no time of its own; it is short."""
    known = {one.tid: one.wait_ns for one in before.threads[:_MAX_THREADS]}
    grew = [grown(known.get(one.tid), one.wait_ns) for one in after.threads[:_MAX_THREADS]]
    told = [wait_ns for wait_ns in grew if wait_ns is not None]
    return _Waited(before.at_ns, after.at_ns, sum(told)) if told else None
