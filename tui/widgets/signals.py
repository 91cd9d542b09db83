"""Latency, throughput, errors and requests in flight as tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from perfwatch.tui import palette
from perfwatch.tui.draw import spark
from perfwatch.tui.format import NONE, count, duration, percent, rate
from perfwatch.tui.widgets.panel import Panel, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model import View
    from perfwatch.tui.messages import Frame

_GAP = 3
_WIDE = 90
_NARROW = 76


class Tile(NamedTuple):
    """A name, the figure of the whole session, and the last seconds as a line."""

    name: str
    figure: str
    seconds: Sequence[float | None]
    style: str


class Signals(Panel):
    """Five tiles side by side, two lines high."""

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Share the width evenly; on a narrow terminal p50 is left out, and names are short."""
        tiles = _tiles(frame.view, short=width < _NARROW)
        if width < _WIDE:
            tiles = tiles[1:]
        each = (width - 2 - _GAP * (len(tiles) - 1)) // len(tiles)
        gap = " " * _GAP
        names = Text(gap).join([_title(tile, each) for tile in tiles])
        lines = Text(gap).join([spark(tile.seconds, each, tile.style) for tile in tiles])
        return joined([Text.assemble(" ", names), Text.assemble(" ", lines)])


def _title(tile: Tile, width: int) -> Text:
    space = " " * max(1, width - len(tile.name) - len(tile.figure))
    return Text.assemble((tile.name, palette.QUIET), space, (tile.figure, palette.STRONG))


def _tiles(view: View, *, short: bool) -> list[Tile]:
    seconds, latency = view.timeline[-121:-1], view.latency_ms  # the last one is not complete
    errors = view.errors / view.count if view.count else 0.0
    p50 = duration(latency.p50) if latency else NONE
    p95 = duration(latency.p95) if latency else NONE
    return [
        Tile("p50", p50, [second.p50_ms for second in seconds], palette.LINE),
        Tile("p95", p95, [second.p95_ms for second in seconds], palette.LINE),
        Tile("rate" if short else "throughput", rate(view.throughput_rps), [s.requests for s in seconds], palette.LINE),
        Tile("errors", percent(errors, digits=0 if short else 1), [s.errors for s in seconds], palette.ALARM),
        Tile(
            "open" if short else "in flight", count(view.in_flight_count), [s.in_flight for s in seconds], palette.LINE
        ),
    ]
