"""A comparison as lines of text, for a terminal and for the screen; what came from outside is made harmless by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.comparing import Comparison, Moved, Pair, Shift


def lines(comparison: Comparison) -> Iterator[str]:
    """Yield a line of totals, then some for each endpoint; what did not change is not told."""
    yield f"all requests   {_figures(comparison.rate_rps, comparison.p50_ms, comparison.p95_ms)}"
    if not comparison.endpoints:
        yield "no request in either"
    for moved in comparison.endpoints:
        yield ""
        yield from _moved(moved)


def _moved(moved: Moved) -> Iterator[str]:
    yield f"{moved.name}   {_fate(moved)}"
    yield f"   {_figures(moved.rate_rps, moved.p50_ms, moved.p95_ms)}"
    if moved.slow_share.before != moved.slow_share.after:
        yield f"   slow    {_pair(moved.slow_share, 100, ' %')}"
    before, after = moved.causes
    if before != after and before and after:
        yield f"   cause   {before} → {after}"
    if moved.buckets:
        yield f"   time    {'   '.join(map(_shift, moved.buckets))}"
    for shift in moved.code:
        yield f"   code    {_shift(shift)}"


def _fate(moved: Moved) -> str:
    if moved.p95_ms.before is None:
        return "new"
    if moved.p95_ms.after is None:
        return "gone"
    share = moved.p95_ms.after / moved.p95_ms.before if moved.p95_ms.before else 1.0
    return f"p95 times {share:.2f}"


def _figures(rate: Pair, p50: Pair, p95: Pair) -> str:
    return f"{_pair(rate, 1, '/s')}   p50 {_pair(p50, 1, ' ms')}   p95 {_pair(p95, 1, ' ms')}"


def _pair(pair: Pair, factor: float, unit: str) -> str:
    return f"{_figure(pair.before, factor)} → {_figure(pair.after, factor)}{unit}"


def _figure(value: float | None, factor: float) -> str:
    return "-" if value is None else f"{value * factor:.3g}" if value * factor < 1000 else f"{value * factor:.0f}"  # noqa: PLR2004


def _shift(shift: Shift) -> str:
    return f"{shift.name} {shift.more_ms:+.3g} ms"
