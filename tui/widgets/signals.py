"""Latency, throughput, errors and saturation: charts where there is room for them, else tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rich.text import Text

from perfwatch.tui import palette
from perfwatch.tui.charting import LEAST_HEIGHT, Chart, beside, condensed, drawn, mean, peak
from perfwatch.tui.draw import spark
from perfwatch.tui.format import NONE, count, duration, percent, rate
from perfwatch.tui.widgets.panel import Panel, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model import Instant, View
    from perfwatch.tui.messages import Frame

_GAP: Final = 3
_WIDE: Final = 90
_NARROW: Final = 76
_SECONDS: Final = 600
"""More are on no terminal."""
_CHART_HEIGHT: Final = 9
"""Of several charts below each other."""
_FIFTH: Final = 40
"""From so many cells each on there is room for one chart more."""


class Tile(NamedTuple):
    """A name, the figure of the whole session, and the last seconds as a line."""

    name: str
    figure: str
    seconds: Sequence[float | None]
    style: str


class Signals(Panel):
    """Charts side by side; where it is high, below each other; where it is flat, tiles two lines high."""

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Draw as much as there is room for."""
        height, whole = self.size.height, frame.position.window is not None
        if height < LEAST_HEIGHT:
            return joined(tiled(frame.view, width, whole=whole))
        return joined(charted(frame.view, width - 2, height, whole=whole))


def tiled(view: View, width: int, *, whole: bool = False) -> list[Text]:
    """Share the width evenly; on a narrow terminal p50 is left out, and names are short."""
    tiles = _tiles(view, _complete(view, whole=whole), short=width < _NARROW)
    if width < _WIDE:
        tiles = tiles[1:]
    each = (width - 2 - _GAP * (len(tiles) - 1)) // len(tiles)
    gap = " " * _GAP
    names = Text(gap).join([_title(tile, each) for tile in tiles])
    shown = [condensed(tile.seconds, each, peak) if whole else tile.seconds for tile in tiles]
    lines = Text(gap).join([spark(seconds, each, tile.style) for tile, seconds in zip(tiles, shown, strict=True)])
    return [Text.assemble(" ", names), Text.assemble(" ", lines)]


def _title(tile: Tile, width: int) -> Text:
    space = " " * max(1, width - len(tile.name) - len(tile.figure))
    return Text.assemble((tile.name, palette.QUIET), space, (tile.figure, palette.STRONG))


def _tiles(view: View, seconds: Sequence[Instant], *, short: bool) -> list[Tile]:
    latency = view.latency_ms
    p50 = duration(latency.p50) if latency else NONE
    p95 = duration(latency.p95) if latency else NONE
    failed = percent(_failed(view), digits=0 if short else 1)
    return [
        Tile("p50", p50, [second.p50_ms for second in seconds], palette.LINE),
        Tile("p95", p95, [second.p95_ms for second in seconds], palette.LINE),
        Tile("rate" if short else "throughput", rate(view.throughput_rps), [s.requests for s in seconds], palette.LINE),
        Tile("errors", failed, [s.errors for s in seconds], palette.ALARM),
        Tile(
            "open" if short else "in flight", count(view.in_flight_count), [s.in_flight for s in seconds], palette.LINE
        ),
    ]


def charted(view: View, width: int, height: int, *, whole: bool = False) -> list[Text]:
    """Put the charts side by side, two by two, or below each other; what is in flight where it has room."""
    charts = [chart._replace(is_whole=whole) for chart in _charts(view, _complete(view, whole=whole))]
    rows, columns = height // _CHART_HEIGHT, len(charts)
    if rows >= len(charts):
        rows, columns = len(charts), 1
    elif rows > 1:
        charts, rows, columns = charts[:4], 2, 2
    else:
        rows, columns = 1, columns if (width + _GAP) // columns >= _FIFTH else columns - 1
    each, high = (width - _GAP * (columns - 1)) // columns, height // rows
    lines = []
    for first in range(0, rows * columns, columns):
        lines += beside([drawn(chart, each, high) for chart in charts[first : first + columns]], _GAP)
    return [Text.assemble(" ", line) for line in lines]


def _charts(view: View, seconds: Sequence[Instant]) -> list[Chart]:
    """Return the four signals, and what is in flight."""
    latency = view.latency_ms
    slow = [second.slow > 0 for second in seconds]
    p50, p95 = (None, None) if latency is None else (latency.p50, latency.p95)
    return [
        Chart(
            "latency",
            _both(_drawn_as("▄", palette.LINE, "p50", p50), _drawn_as("⣀", palette.ACCENT, "p95", p95)),
            duration,
            [second.p50_ms for second in seconds],
            [second.p95_ms for second in seconds],
            slow,
        ),
        Chart(
            "throughput",
            [_strong(rate(view.throughput_rps))],
            rate,
            [second.requests for second in seconds],
            joined=mean,
        ),
        Chart(
            "errors",
            [_strong(percent(_failed(view), digits=1))],
            rate,
            [second.errors for second in seconds],
            marks=[second.errors > 0 for second in seconds],
            mark=("×", palette.ALARM),  # noqa: RUF001
            colour=palette.ALARM,
        ),
        Chart("saturation", _used(view), percent, [second.cpu_use for second in seconds], marks=slow, top=1.0),
        Chart("in flight", [_strong(count(view.in_flight_count))], count, [second.in_flight for second in seconds]),
    ]


def _complete(view: View, *, whole: bool) -> Sequence[Instant]:
    """Return the last seconds without the present one; of a window all that are complete."""
    return view.timeline[0 if whole else -_SECONDS - 1 : -1]


def _failed(view: View) -> float:
    return view.errors / view.count if view.count else 0.0


def _strong(figure: str) -> Text:
    return Text(figure, style=palette.STRONG)


def _drawn_as(glyph: str, colour: str, name: str, ms: float | None) -> Text:
    """Write a figure after how it is drawn."""
    figure = _strong(NONE if ms is None else duration(ms))
    return Text.assemble((f"{glyph} ", colour), (f"{name} ", palette.QUIET), figure)


def _both(one: Text, other: Text) -> Sequence[Text]:
    """Tell both, or the second one where there is no room."""
    return Text("  ").join([one, other]), other


def _used(view: View) -> Sequence[Text]:
    """Tell the use of the CPUs, which is drawn, and of the resource that is used most, where that is another."""
    used: dict[str, float] = {one.resource: one.utilisation for one in view.saturation if one.utilisation is not None}
    cpu = used.get("cpu", view.cpu_use)
    told = _share("cpu", cpu)
    fullest = max(used, key=used.__getitem__, default="cpu")
    return [told] if fullest == "cpu" else _both(_share(fullest, used[fullest]), told)


def _share(name: str, share: float | None) -> Text:
    return Text.assemble((f"{name} ", palette.QUIET), _strong(NONE if share is None else percent(share)))
