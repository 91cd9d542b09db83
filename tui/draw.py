"""Small charts as styled text: sparklines, gauges, stacked bars."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.tui import palette

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from perfwatch.tui.palette import Ink

_STEPS: Final = "▁▂▃▄▅▆▇█"


def spark(values: Sequence[float | None], width: int, style: str) -> Text:
    """Draw the newest `width` values, newest at the right; None and what is not there yet are faint dots."""
    shown = list(values[-width:]) if width > 0 else []
    top = max((value for value in shown if value is not None), default=0.0)
    cells = [("·", palette.FAINT)] * (width - len(shown))
    for value in shown:
        if value is None:
            cells.append(("·", palette.FAINT))
        else:
            cells.append((_STEPS[_step(value, top)], style if value > 0 else palette.FAINT))
    return runs(cells)


def runs(cells: Sequence[tuple[str, str]]) -> Text:
    """Join (character, style) pairs; neighbours of one style become one piece, which is cheaper to paint."""
    groups = groupby(cells, key=lambda cell: cell[1])
    return Text.assemble(*(("".join(char for char, _ in group), style) for style, group in groups))


def _step(value: float, top: float) -> int:
    return min(len(_STEPS) - 1, int(value / top * len(_STEPS))) if top > 0 else 0


def gauge(share: float | None, width: int, style: str) -> Text:
    """Draw a share of 0..1 as a bar."""
    full = 0 if share is None else round(min(max(share, 0.0), 1.0) * width)
    return Text.assemble(("█" * full, style), ("░" * (width - full), palette.FAINT))


def stacked(parts: Iterable[tuple[Ink, int]], width: int) -> Text:
    """Draw parts as one bar of exactly `width` cells; empty where there is nothing to draw.

    Cells go by largest remainder, so that the bar is always full and the lengths are off by less than a cell.
    """
    kept = [(ink, amount) for ink, amount in parts if amount > 0]
    total = sum(amount for _, amount in kept)
    if total <= 0 or width <= 0:
        return Text(" " * max(width, 0))
    exact = [amount * width / total for _, amount in kept]
    cells = [int(share) for share in exact]
    by_remainder = sorted(range(len(kept)), key=lambda index: cells[index] - exact[index])
    for index in by_remainder[: width - sum(cells)]:
        cells[index] += 1
    return Text.assemble(*((ink.glyph * length, ink.colour) for (ink, _), length in zip(kept, cells, strict=True)))
