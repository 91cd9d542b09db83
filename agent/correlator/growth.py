"""Whether something grows, and how fast: a straight line through readings, or nothing.

Readings of memory are no independent draws: what was held a second ago is mostly held now. So the error of the slope is
that of as many readings as the scatter around the line, by its autocorrelation, is worth; a step, which leaves a
scatter that is all of one piece, is then no growth. Nor is what is small beside the whole, or did not go on to the end.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final, NamedTuple

from perfwatch.agent.model_memory import Growth

FEWEST: Final = 20
SHORTEST_NS: Final = 30_000_000_000
_FEWEST_WORTH: Final = 4.0
_QUANTILE: Final = 2.8
"""Student's t for 95 %, with as few readings as that."""
_LEAST_PART: Final = 0.01
_LEAST_BYTES: Final = 1 << 18
_WENT_ON: Final = 0.25
"""The last third of the line must have grown by this part of what it would at the same rate."""
_MINUTE_NS: Final = 60e9
_PAGE: Final = 4096.0
"""Less scatter than this is that of counting in pages."""


class _Line(NamedTuple):
    slope: float
    """Per nanosecond."""
    error: float


def growth(points: tuple[tuple[int, int], ...]) -> Growth | None:
    """Return by how much it grew between the first and the last of these; None where they do not say that it did."""
    if len(points) < FEWEST or points[-1][0] - points[0][0] < SHORTEST_NS:
        return None
    line = _line(points)
    over_ns = points[-1][0] - points[0][0]
    if line is None or line.slope - _QUANTILE * line.error <= 0 or not _goes_on(points, line.slope):
        return None
    if line.slope * over_ns < max(_LEAST_BYTES, _LEAST_PART * points[-1][1]):
        return None
    low, high = (line.slope + sign * _QUANTILE * line.error for sign in (-1, 1))
    return Growth(line.slope * _MINUTE_NS, low * _MINUTE_NS, high * _MINUTE_NS, over_ns)


def _line(points: tuple[tuple[int, int], ...]) -> _Line | None:
    """Fit by least squares; None where the scatter is of so few pieces that nothing is known of the slope."""
    count, first_ns = len(points), points[0][0]
    times = [at_ns - first_ns for at_ns, _ in points]
    values = [value for _, value in points]
    mean_time, mean_value = sum(times) / count, sum(values) / count
    spread = sum((time - mean_time) ** 2 for time in times)
    if spread <= 0:
        return None
    slope = sum((time - mean_time) * (value - mean_value) for time, value in zip(times, values, strict=True)) / spread
    rests = [value - mean_value - slope * (time - mean_time) for time, value in zip(times, values, strict=True)]
    scatter = sum(rest**2 for rest in rests)
    if scatter <= count * _PAGE**2:
        return _Line(slope, 0.0)
    again = sum(rest * after for rest, after in pairwise(rests)) / scatter
    worth = count * (1 - again) / (1 + again) if again > 0 else count
    if worth < _FEWEST_WORTH:
        return None
    return _Line(slope, math.sqrt(scatter / max(worth - 2, 1) / (spread * worth / count)))


def _goes_on(points: tuple[tuple[int, int], ...], slope: float) -> bool:
    third = points[-(len(points) // 3) :]
    return third[-1][1] - third[0][1] >= _WENT_ON * slope * (third[-1][0] - third[0][0])
