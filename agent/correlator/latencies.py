"""Durations of requests: the exact last 256 of them, and a histogram of all.

The quantiles (nearest rank) are exact up to 256 durations. Beyond, they come from a log-linear histogram
of 128 steps per octave: the middle of a step is at most 0.4 % away from any duration in it. The maximum
is exact.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from math import ceil
from typing import TYPE_CHECKING, Final, TypeVar

from perfwatch.agent.model import Latency

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Number = TypeVar("Number", int, float)
WINDOW: Final = 256
_FEW: Final = 32
"""So many are sorted in, one by one, sooner than that the window is sorted anew."""
_STEP_BITS: Final = 7
_STEPS: Final = 1 << _STEP_BITS
_QUANTILES: Final = (0.50, 0.90, 0.95, 0.99)


class Latencies:
    """Durations in nanoseconds, each at most an hour or so; grows by one dict entry per step that is met.

    New ones are only listed, up to 256, until somebody asks: put in order together they cost a third.
    """

    __slots__ = ("_counts", "_latest", "_max_ns", "_new", "_sorted", "count", "total_ns")

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0
        self._max_ns = 0
        self._new: list[int] = []
        self._latest: list[int] = []
        self._sorted: list[int] = []
        self._counts: Counter[int] = Counter()

    def add(self, duration_ns: int) -> None:
        """Count a duration; costs 0.2 us, and as much again when it is put in order with others."""
        self.count += 1
        self.total_ns += duration_ns
        self._new.append(duration_ns)
        if len(self._new) == WINDOW:
            self._settle()

    def _settle(self) -> None:
        new, self._new = self._new, []
        if not new:
            return
        latest = [*self._latest, *new]
        self._latest = latest[-WINDOW:]
        if len(new) > _FEW:
            self._sorted = sorted(self._latest)
        else:
            for gone_ns in latest[:-WINDOW]:
                del self._sorted[bisect_left(self._sorted, gone_ns)]
            self._sorted = sorted([*self._sorted, *new])
        self._max_ns = max(self._max_ns, *new)
        self._counts.update(map(step_of, new))

    @property
    def max_ns(self) -> int:
        """The longest; 0 without any."""
        self._settle()
        return self._max_ns

    def remove(self, duration_ns: int) -> None:
        """Take back a duration that was added before."""
        self._settle()
        self.count -= 1
        self.total_ns -= duration_ns
        if duration_ns in self._latest:
            self._latest.remove(duration_ns)
            del self._sorted[bisect_left(self._sorted, duration_ns)]
        step = step_of(duration_ns)
        self._counts[step] -= 1
        if not self._counts[step]:
            del self._counts[step]
        if duration_ns == self._max_ns:
            self._max_ns = self._largest()

    def median_ns(self) -> float:
        """Return the median of the last 256 durations; 0 without any."""
        self._settle()
        ordered = self._sorted
        if not ordered:
            return 0.0
        half = len(ordered) // 2
        return float(ordered[half]) if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2

    def summary(self) -> Latency | None:
        """Return the quantiles of all durations; None without any."""
        self._settle()
        if not self.count:
            return None
        ranks = [ceil(quantile * self.count) for quantile in _QUANTILES]
        if len(self._sorted) == self.count:
            found = [self._sorted[rank - 1] for rank in ranks]
        else:
            found = [min(duration_ns, self.max_ns) for duration_ns in at_ranks(self._counts, ranks)]
        return Latency(*(round(duration_ns / 1e6, 6) for duration_ns in (*found, self.max_ns)))

    def _largest(self) -> int:
        if not self._counts:
            return 0
        largest = max(self._counts)
        if self._sorted and step_of(self._sorted[-1]) == largest:
            return self._sorted[-1]
        return middle_of(largest)


def nearest_rank(ordered: Sequence[Number], quantile: float) -> Number:
    """Return the quantile of a sorted list that is not empty."""
    return ordered[max(ceil(quantile * len(ordered)), 1) - 1]


def at_ranks(counts: Mapping[int, int], ranks: Sequence[int]) -> list[int]:
    """Return the durations at some ranks, given in rising order, of durations that were counted by their steps."""
    found: list[int] = []
    passed = 0
    for step in sorted(counts):
        passed += counts[step]
        while len(found) < len(ranks) and passed >= ranks[len(found)]:
            found.append(middle_of(step))
    return found


def step_of(duration_ns: int) -> int:
    """Return the step that a duration is in."""
    shift = duration_ns.bit_length() - _STEP_BITS - 1
    return duration_ns if shift <= 0 else (shift << _STEP_BITS) + (duration_ns >> shift)


def middle_of(step: int) -> int:
    """Return a duration in the middle of a step: at most 0.4 % from any that is in it."""
    if step < 2 * _STEPS:
        return step
    shift = (step >> _STEP_BITS) - 1
    return ((_STEPS + step % _STEPS) << shift) + (1 << shift) // 2
