"""What a session tells of how its server scales: the Universal Scalability Law, fitted, with intervals; or nothing.

Intervals are asymptotic: the delta method, and Student's t. Where requests wait in one queue, as for a lock, they come
to it more evenly than the law supposes: throughput bends later and more sharply. Before N is some times where it
bends, a part of the contention is told as coherency.

It says nothing where the data do not carry it: too few seconds, too little variety of concurrency, too much that the
law does not explain, or an interval that tells nothing.
"""

from __future__ import annotations

from math import inf, log, sqrt
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.law import Fit, Terms, fitted, gradient, throughput
from perfwatch.agent.correlator.least_squares import inverse
from perfwatch.agent.model import Interval, Scalability

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.correlator.windows import Point

_LEAST_SECONDS: Final = 8
_LEAST_POINTS: Final = 4
_LEAST_RANGE: Final = 2.5
_LEAST_EXPLAINED: Final = 0.8
_WIDEST: Final = 0.3
"""Of the interval of contention; of that of the rate relative to it, twice as much."""
_REACH: Final = 2.0
"""A knee at so many times the largest concurrency that was seen is told."""


def scalability(points: Sequence[Point]) -> Scalability | None:
    """Fit the law; None where the data do not carry it. 1 ms for 20 points."""
    seconds = sum(point.seconds for point in points)
    if seconds < _LEAST_SECONDS or len(points) < _LEAST_POINTS or any(point.rate_rps <= 0 for point in points):
        return None
    low, high = points[0].concurrency, points[-1].concurrency
    if high < _LEAST_RANGE * max(low, 1.0):
        return None
    found = fitted(points)
    return None if found is None else _told(found, points, seconds, (low, high))


def _told(fit: Fit, points: Sequence[Point], seconds: int, seen: tuple[float, float]) -> Scalability | None:
    explained = _explained(fit.terms, points)
    errors = _errors(fit, points, seconds)
    if errors is None or explained < _LEAST_EXPLAINED:
        return None
    alone, other, pair = fit.terms
    within = _student(seconds - len(fit.terms))
    rate = _interval(1 / alone, within * errors[0], inf)
    contention, coherency = (
        _interval(part / alone, within * error, 1.0) for part, error in ((other, errors[1]), (pair, errors[2]))
    )
    if contention.high - contention.low > _WIDEST or rate.high - rate.low > 2 * _WIDEST * rate.value:
        return None
    knee = sqrt((1 - contention.value) / coherency.value) if coherency.low > 0 and contention.value < 1 else None
    reached = knee is not None and 1.0 <= knee <= _REACH * seen[1]
    return Scalability(
        rate_rps=rate,
        contention=contention,
        coherency=coherency,
        knee=knee if reached else None,
        peak_rps=throughput(fit.terms, knee) if knee is not None and reached else None,
        r_squared=explained,
        concurrency=seen,
    )


def _explained(terms: Terms, points: Sequence[Point]) -> float:
    """Return the part of the variance that the law explains: of throughput or of latency, whichever varied more.

    In logarithms, in which the residuals of both are the same: flat throughput is explained well where latency is.
    """
    weights = [point.seconds for point in points]
    rates, latencies = [log(point.rate_rps) for point in points], [_log_latency(point) for point in points]
    model = [log(throughput(terms, point.concurrency)) for point in points]
    left = sum(weight * (rate - told) ** 2 for weight, rate, told in zip(weights, rates, model, strict=True))
    most = max(_variation(rates, weights), _variation(latencies, weights))
    return max(1 - left / most, 0.0) if most > 0 else 0.0


def _log_latency(point: Point) -> float:
    return log(point.concurrency / point.rate_rps)


def _variation(values: Sequence[float], weights: Sequence[int]) -> float:
    mean = sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)
    return sum(weight * (value - mean) ** 2 for weight, value in zip(weights, values, strict=True))


def _errors(fit: Fit, points: Sequence[Point], seconds: int) -> Terms | None:
    """Return the standard errors of rate, contention and coherency."""
    left = seconds - len(fit.terms)
    gradients = [gradient(fit.terms, point.concurrency) for point in points]
    inverted = inverse(gradients, [point.seconds for point in points])
    if inverted is None or left <= 0:
        return None
    variance = (fit.squares + sum(point.spread for point in points)) / left
    alone, other, pair = fit.terms
    along = ((-1 / alone**2, 0.0, 0.0), (-other / alone**2, 1 / alone, 0.0), (-pair / alone**2, 0.0, 1 / alone))
    first, second, third = (
        sqrt(max(variance * sum(a * b * inverted[i][j] for i, a in enumerate(one) for j, b in enumerate(one)), 0.0))
        for one in along
    )
    return (first, second, third)


def _interval(value: float, within: float, most: float) -> Interval:
    return Interval(min(value, most), min(max(value - within, 0.0), most), min(value + within, most))


def _student(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t (Cornish-Fisher from the normal one), within 1 % from 4 degrees on."""
    normal, freedom = 1.959964, max(freedom, 1)
    return (
        normal
        + (normal**3 + normal) / (4 * freedom)
        + (5 * normal**5 + 16 * normal**3 + 3 * normal) / (96 * freedom**2)
    )
