"""Durations of requests: the exact last 256 of them, and a histogram of all.

The quantiles (nearest rank) are exact up to 256 durations. Beyond, they come from a log-linear histogram
of 128 steps per octave: the middle of a step is at most 0.4 % away from any duration in it. The maximum
is exact.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from math import ceil
from typing import TYPE_CHECKING, Final, TypeVar

from perfwatch.agent.model import Latency

if TYPE_CHECKING:
    from collections.abc import Sequence

Number = TypeVar("Number", int, float)
WINDOW: Final = 256
_STEP_BITS: Final = 7
_STEPS: Final = 1 << _STEP_BITS
_QUANTILES: Final = (0.50, 0.90, 0.95, 0.99)


class Latencies:
    """Durations in nanoseconds, each at most an hour or so; grows by one dict entry per step that is met."""

    __slots__ = ("_counts", "_latest", "_sorted", "_steps", "count", "max_ns", "total_ns")

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0
        self.max_ns = 0
        self._latest: deque[int] = deque()
        self._sorted: list[int] = []
        self._counts: dict[int, int] = {}
        self._steps: list[int] = []

    def add(self, duration_ns: int) -> None:
        """Count a duration; costs about 1 us."""
        self.count += 1
        self.total_ns += duration_ns
        self.max_ns = max(self.max_ns, duration_ns)
        if len(self._latest) == WINDOW:
            del self._sorted[bisect_left(self._sorted, self._latest.popleft())]
        self._latest.append(duration_ns)
        insort(self._sorted, duration_ns)
        step = _step(duration_ns)
        if step in self._counts:
            self._counts[step] += 1
        else:
            self._counts[step] = 1
            insort(self._steps, step)

    def remove(self, duration_ns: int) -> None:
        """Take back a duration that was added before."""
        self.count -= 1
        self.total_ns -= duration_ns
        if duration_ns in self._latest:
            self._latest.remove(duration_ns)
            del self._sorted[bisect_left(self._sorted, duration_ns)]
        step = _step(duration_ns)
        self._counts[step] -= 1
        if not self._counts[step]:
            del self._counts[step]
            del self._steps[bisect_left(self._steps, step)]
        if duration_ns == self.max_ns:
            self.max_ns = self._largest()

    def median_ns(self) -> float:
        """Return the median of the last 256 durations; 0 without any."""
        ordered = self._sorted
        if not ordered:
            return 0.0
        half = len(ordered) // 2
        return float(ordered[half]) if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2

    def summary(self) -> Latency | None:
        """Return the quantiles of all durations; None without any."""
        if not self.count:
            return None
        ranks = [ceil(quantile * self.count) for quantile in _QUANTILES]
        if len(self._sorted) == self.count:
            found = [self._sorted[rank - 1] for rank in ranks]
        else:
            found = [min(duration_ns, self.max_ns) for duration_ns in self._at(ranks)]
        return Latency(*(round(duration_ns / 1e6, 6) for duration_ns in (*found, self.max_ns)))

    def _at(self, ranks: list[int]) -> list[int]:
        found: list[int] = []
        passed = 0
        for step in self._steps:
            passed += self._counts[step]
            while len(found) < len(ranks) and passed >= ranks[len(found)]:
                found.append(_middle(step))
        return found

    def _largest(self) -> int:
        if not self._steps:
            return 0
        if self._sorted and _step(self._sorted[-1]) == self._steps[-1]:
            return self._sorted[-1]
        return _middle(self._steps[-1])


def nearest_rank(ordered: Sequence[Number], quantile: float) -> Number:
    """Return the quantile of a sorted list that is not empty."""
    return ordered[max(ceil(quantile * len(ordered)), 1) - 1]


def _step(duration_ns: int) -> int:
    shift = duration_ns.bit_length() - _STEP_BITS - 1
    return duration_ns if shift <= 0 else (shift << _STEP_BITS) + (duration_ns >> shift)


def _middle(step: int) -> int:
    if step < 2 * _STEPS:
        return step
    shift = (step >> _STEP_BITS) - 1
    return ((_STEPS + step % _STEPS) << shift) + (1 << shift) // 2
