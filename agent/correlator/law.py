"""The Universal Scalability Law: throughput by concurrency, and what fits it best.

X(N) = rate N / (1 + contention (N - 1) + coherency N (N - 1)), after Gunther, "Guerrilla Capacity Planning" (2007).
With coherency 0 it is Amdahl's law; with contention 1 as well throughput stays what it is at one request at a time.
The fit is the least squares of the throughput (Gauss-Newton from a linear fit of N / X, which is the latency), with
contention and coherency no less than 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from perfwatch.agent.correlator.least_squares import solve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.correlator.windows import Point

Terms: TypeAlias = "tuple[float, float, float]"
"""Seconds per request: alone, for each other one at the same time, and for each pair of these."""
_STEPS: Final = 30
_CLOSE: Final = 1e-10


class Fit(NamedTuple):
    """A law, and how far it is off."""

    terms: Terms
    squares: float
    """Sum of squared residuals of the points, each as often as it has seconds."""


def fitted(points: Sequence[Point]) -> Fit | None:
    """Return the best fit with both contention and coherency allowed, either, or none."""
    some = (_descend(points, free) for free in ((0, 1, 2), (0, 1), (0, 2), (0,)))
    fits = [fit for fit in some if fit is not None]
    return min(fits, key=lambda fit: fit.squares) if fits else None


def throughput(terms: Terms, concurrency: float) -> float:
    """Return X(N)."""
    return concurrency / _latency_s(terms, concurrency)


def _descend(points: Sequence[Point], free: tuple[int, ...]) -> Fit | None:
    """Fit with these terms free and the others 0; None where one of them came out below 0, or nothing did."""
    begin = _linear(points, free)
    fit = None if begin is None else _fit(points, begin)
    for _ in range(_STEPS):
        if fit is None:
            return None
        step = _step(points, free, fit.terms)
        better = None if step is None else _shortened(points, fit, step)
        if better is None or fit.squares - better.squares <= _CLOSE * fit.squares:
            break
        fit = better
    return fit if fit is not None and fit.terms[0] > 0 and min(fit.terms) >= 0 else None


def _linear(points: Sequence[Point], free: tuple[int, ...]) -> Terms | None:
    """Fit N / X, each point weighed so that its residual is about that of X."""
    rows = [_factors(point.concurrency) for point in points]
    weights = [point.seconds * (point.rate_rps**2 / point.concurrency) ** 2 for point in points]
    latencies = [point.concurrency / point.rate_rps for point in points]
    return _spread_out(free, solve([[row[at] for at in free] for row in rows], latencies, weights))


def _step(points: Sequence[Point], free: tuple[int, ...], terms: Terms) -> Terms | None:
    gradients = [[gradient(terms, point.concurrency)[at] for at in free] for point in points]
    residuals = [point.rate_rps - throughput(terms, point.concurrency) for point in points]
    return _spread_out(free, solve(gradients, residuals, [point.seconds for point in points]))


def _shortened(points: Sequence[Point], fit: Fit, step: Terms) -> Fit | None:
    """Take a step, or half of it, or half of that, until it leads downwards."""
    for halvings in range(_STEPS):
        moved = tuple(term + change / 2**halvings for term, change in zip(fit.terms, step, strict=True))
        tried = _fit(points, (moved[0], moved[1], moved[2]))
        if tried is not None and tried.squares <= fit.squares:
            return tried
    return None


def _fit(points: Sequence[Point], terms: Terms) -> Fit | None:
    if any(_latency_s(terms, point.concurrency) <= 0 for point in points):
        return None
    residuals = (point.seconds * (point.rate_rps - throughput(terms, point.concurrency)) ** 2 for point in points)
    return Fit(terms, sum(residuals))


def _spread_out(free: tuple[int, ...], solved: list[float] | None) -> Terms | None:
    if solved is None:
        return None
    found = dict(zip(free, solved, strict=True))
    return (found.get(0, 0.0), found.get(1, 0.0), found.get(2, 0.0))


def _factors(concurrency: float) -> Terms:
    return (1.0, concurrency - 1.0, concurrency * (concurrency - 1.0))


def _latency_s(terms: Terms, concurrency: float) -> float:
    return sum(term * factor for term, factor in zip(terms, _factors(concurrency), strict=True))


def gradient(terms: Terms, concurrency: float) -> Terms:
    """Return how X(N) changes with each term."""
    slope = -concurrency / _latency_s(terms, concurrency) ** 2
    first, second, third = _factors(concurrency)
    return (slope * first, slope * second, slope * third)
