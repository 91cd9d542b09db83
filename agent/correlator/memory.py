"""The host's memory, and what it cost to find some."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from perfwatch.agent.correlator.memory_past import MemoryPast
from perfwatch.agent.correlator.rates import MemoryRate, grown, memory_rate, part, per_second
from perfwatch.agent.correlator.series import Named, Series

if TYPE_CHECKING:
    from perfwatch.agent.correlator.series import Span
    from perfwatch.probes.samples import MemorySample, ProcessMemory


class Memory:
    """What /proc/meminfo and /proc/vmstat said, and the page faults of the target's processes."""

    def __init__(self) -> None:
        self._samples: Series[MemorySample] = Series(_continues)
        self._processes: Named[ProcessMemory] = Named(_goes_on)
        self._intervals = 0
        self._stalled = 0
        self.past = MemoryPast()

    def sample(self, sample: MemorySample) -> None:
        """Take in the host's figures; costs about 3 us."""
        before = self._samples.add(sample)
        if before is not None:
            self._intervals += 1
            self._stalled += _stalled(before, sample)

    def process(self, sample: ProcessMemory) -> None:
        """Take in the figures of one process; costs about 2 us."""
        self._processes.add(str(sample.pid), sample)
        self.past.sample(sample)

    def rate(self, span: Span) -> MemoryRate | None:
        """Return how often memory had to be found first."""
        pair = self._samples.around(span)
        return None if pair is None else memory_rate(*pair)

    def stalled(self, span: Span) -> float | None:
        """Return the share of intervals in which some thread reclaimed pages itself, or read them back from swap."""
        if span.from_ns is None:
            return part(self._stalled, self._intervals) if self._intervals else None
        pair = self._samples.around(span)
        if pair is None:
            return None
        samples = (pair[0], *self._samples.within(span))
        steps = list(pairwise(samples))
        return part(sum(_stalled(*step) for step in steps), len(steps))

    def available(self, until_ns: int) -> tuple[int, int] | None:
        """Return (available, total) bytes as of the last reading up to then, or the last one at all."""
        latest = self._samples.before(until_ns) or self._samples.latest
        if latest is None or latest.total_bytes <= 0:
            return None
        return min(max(latest.available_bytes, 0), latest.total_bytes), latest.total_bytes

    def held_by(self, pid: int, span: Span) -> tuple[int, int] | None:
        """Return the resident bytes of a process before and after a stretch of time."""
        series = self._processes.of(str(pid))
        pair = None if series is None else series.around(span)
        return None if pair is None else (max(pair[0].rss_bytes, 0), max(pair[1].rss_bytes, 0))

    def faults(self, pid: int, span: Span) -> tuple[float | None, float | None]:
        """Return the minor and the major faults of a process per second."""
        series = self._processes.of(str(pid))
        pair = None if series is None else series.around(span)
        if pair is None:
            return None, None
        before, after = pair
        passed_ns = after.at_ns - before.at_ns
        minor, major = grown(before.minor_faults, after.minor_faults), grown(before.major_faults, after.major_faults)
        return per_second(minor, passed_ns), per_second(major, passed_ns)

    @property
    def latest(self) -> MemorySample | None:
        """The newest reading of the host."""
        return self._samples.latest


def _continues(before: MemorySample, after: MemorySample) -> bool:
    return (after.major_faults or 0) >= (before.major_faults or 0)


def _goes_on(before: ProcessMemory, after: ProcessMemory) -> bool:
    return after.minor_faults >= before.minor_faults


def _stalled(before: MemorySample, after: MemorySample) -> bool:
    reclaims = grown(before.direct_reclaims, after.direct_reclaims)
    swapped = grown(before.swapped_in_bytes, after.swapped_in_bytes)
    return bool(reclaims or swapped)
