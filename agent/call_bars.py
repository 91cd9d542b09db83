"""Draws stretches on a time axis of character cells: each cell shows what most of its time was spent on."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.correlator.call_times import Part

What = TypeVar("What")


def stretches(start: float, spent: Sequence[float], parts: Sequence[Part]) -> Iterator[tuple[Part, float, float]]:
    """Yield each stretch of one call: what it is, when it began and ended."""
    at = start
    for part, length in zip(parts, spent, strict=True):
        if length > 0:
            yield part, at, at + length
        at += length


def drawn(found: Iterable[tuple[What, float, float]], length: float, width: int) -> list[What | None]:
    """Return what each of `width` cells shows of an axis from 0 to `length`; what lies beyond is not shown."""
    if length <= 0 or width < 1:
        return [None] * max(width, 0)
    cell = length / width
    shares: list[dict[What, float]] = [{} for _ in range(width)]
    for part, start, end in found:
        for at in range(max(int(start / cell), 0), min(int(end / cell) + 1, width)):
            inside = min(end, (at + 1) * cell) - max(start, at * cell)
            if inside > 0:
                shares[at][part] = shares[at].get(part, 0.0) + inside
    return [_most(share) for share in shares]


def _most(share: dict[What, float]) -> What | None:
    return max(share, key=lambda part: share[part]) if share else None
