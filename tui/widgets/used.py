"""Where something queues at this moment, and how used the host is: a line each, or gauges below each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.tui import palette
from perfwatch.tui.draw import gauge
from perfwatch.tui.format import NONE, fit, percent
from perfwatch.tui.gauges import FULL, Gauge, queue_gauges
from perfwatch.tui.widgets.panel import Panel, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.model import View
    from perfwatch.tui.messages import Frame

_GAP: Final = "  "
_BARS: Final = ((120, 10), (96, 8), (80, 5), (0, 3))
"""(from this width on, cells of a bar)"""
_SHORT: Final = {"memory": "mem", "network": "net"}
_GAUGE: Final = 46
"""Cells of a gauge in a column."""
_NAME: Final = 23
_BAR: Final = 10


class QueueLine(Panel):
    """Run queue, accept queues, disk, interpreter locks, what holds requests up, buffers, peers.

    One line; where the style sheet leaves its height open, gauges in columns.
    """

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Say as much as there is room for, the most telling first."""
        queues = list(queue_gauges(frame.view))
        if self.styles.is_auto_height:
            return joined(_in_columns(queues, width))
        line = Text(" queues ", style=palette.QUIET, no_wrap=True, overflow="crop")
        line = _filled(line, map(_figure, queues), width)
        if (left := width - line.cell_len) > len(load := f"concurrency {frame.view.concurrency:.1f}"):
            line.append(load.rjust(left - 1), palette.QUIET)
        return line


class Used(Panel):
    """A bar for each resource of the host, and how long its tasks were held up."""

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Say what is known; cpu and memory stand there also where they are not."""
        bar = next(cells for least, cells in _BARS if width >= least)
        line = Text(" used   ", style=palette.QUIET, no_wrap=True, overflow="crop")
        return _filled(line, _resources(frame.view, bar), width)


def _filled(line: Text, pieces: Iterable[Text], width: int) -> Text:
    for piece in pieces:
        if line.cell_len + len(_GAP) + piece.cell_len <= width:
            line.append(_GAP).append_text(piece)
    return line


def _in_columns(queues: Sequence[Gauge], width: int) -> list[Text]:
    """Set gauges below each other, then in a further column."""
    columns = max((width - 1) // _GAUGE, 1)
    rows = max(-(-len(queues) // columns), 1)
    lines = [Text(" ") for _ in range(rows)]
    for place, one in enumerate(queues):
        lines[place % rows].append_text(_bar_of(one))
    return lines


def _bar_of(one: Gauge) -> Text:
    colour = palette.ALARM if one.alarming else palette.LINE
    bar = Text(" " * _BAR) if one.share is None else gauge(one.share, _BAR, colour)
    figure = fit(one.figure, _GAUGE - _NAME - _BAR - 3)
    return Text.assemble(
        (fit(one.name, _NAME), one.colour),
        " ",
        bar,
        " ",
        (figure, palette.ALARM if one.alarming else palette.TEXT),
        " ",
    )


def _figure(one: Gauge) -> Text:
    return Text.assemble((f"{one.name} ", one.colour), (one.figure, palette.ALARM if one.alarming else palette.TEXT))


def _resources(view: View, bar: int) -> Iterator[Text]:
    shares = {one.resource: one.utilisation for one in view.saturation}
    yield _bar("cpu", shares.get("cpu", view.cpu_use), bar)
    yield _bar("memory", shares.get("memory", view.memory_use), bar)
    for name in ("disk", "network"):
        if shares.get(name) is not None:
            yield _bar(name, shares[name], bar)
    host = next((one for one in view.queues.pressure if one.scope == "host"), None)
    told = {} if host is None else {"cpu": host.cpu, "mem": host.memory, "io": host.io}
    held = [(share, name) for name, share in told.items() if share is not None]
    if held:
        share, name = max(held)
        yield _figure(Gauge(f"psi {name}" if share else "psi", percent(share)))


def _bar(name: str, share: float | None, cells: int) -> Text:
    figure = NONE if share is None else percent(share)
    return Text.assemble(
        (f"{_SHORT.get(name, name)} ", palette.QUIET), gauge(share, cells, heat(share)), f" {figure:<5}"
    )


def heat(share: float | None) -> str:
    """Return the colour of a bar."""
    if share is None:
        return palette.FAINT
    return palette.ALARM if share > FULL else palette.LINE
