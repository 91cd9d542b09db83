"""The target's threads: their states, how long they waited for CPUs, and what samples of them add up to."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.rates import grown, part
from perfwatch.agent.model import BUCKETS, Bucket

if TYPE_CHECKING:
    from perfwatch.agent.correlator.series import Span
    from perfwatch.probes.samples import ThreadsSample, ThreadTime

_MAX_PROCESSES: Final = 64
_MAX_THREADS: Final = 256
_KEPT: Final = 1024
_TELLING_NS: Final = 50_000_000
_STALE_NS: Final = 10_000_000_000


class _Ran(NamedTuple):
    """What the threads of one process did between two readings."""

    at_ns: int
    run_ns: int
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
        self._ran: deque[_Ran] = deque(maxlen=_KEPT)
        self._run_ns = 0
        self._wait_ns = 0

    def sample(self, sample: ThreadsSample) -> None:
        """Take in the threads of a process; costs about 40 us with 256 threads."""
        before = self._latest.pop(sample.pid, None)
        if len(self._latest) >= _MAX_PROCESSES:
            del self._latest[next(iter(self._latest))]
        self._latest[sample.pid] = sample
        if before is not None and before.at_ns < sample.at_ns:
            ran = _ran(before, sample)
            self._ran.append(ran)
            self._run_ns += ran.run_ns
            self._wait_ns += ran.wait_ns

    def states(self, now_ns: int) -> tuple[tuple[str, int], ...]:
        """Return (state, threads in it) of the processes that were seen in the last 10 s, the largest first."""
        counter = Counter(one.state for sample in self._alive(now_ns) for one in sample.threads[:_MAX_THREADS])
        return tuple(sorted(counter.items(), key=lambda one: (-one[1], one[0])))

    def count(self, now_ns: int) -> int | None:
        """Return how many threads the target has; None where they were not read lately."""
        alive = self._alive(now_ns)
        return sum(sample.count for sample in alive) if alive else None

    def waited(self, span: Span) -> float | None:
        """Return the share of the time in which they ran or could run, in which they had no CPU.

        None where that is less than 50 ms in all: idle threads tell nothing.
        """
        run_ns, wait_ns = self._run_ns, self._wait_ns
        if span.from_ns is not None:
            ran = [one for one in self._ran if span.from_ns <= one.at_ns <= span.until_ns]
            run_ns, wait_ns = sum(one.run_ns for one in ran), sum(one.wait_ns for one in ran)
        return part(wait_ns, run_ns + wait_ns) if run_ns + wait_ns >= _TELLING_NS else None

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


def _ran(before: ThreadsSample, after: ThreadsSample) -> _Ran:
    known = {one.tid: one for one in before.threads[:_MAX_THREADS]}
    run_ns = wait_ns = 0
    for one in after.threads[:_MAX_THREADS]:
        earlier = known.get(one.tid)
        if earlier is not None:  # a new thread's first reading has no time of its own; it is short
            run_ns += grown(earlier.run_ns, one.run_ns) or 0
            wait_ns += grown(earlier.wait_ns, one.wait_ns) or 0
    return _Ran(after.at_ns, run_ns, wait_ns)
