"""A line of charts over the last seconds, at the head of a page; where there is no room for them, nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent.report_sentences import binary
from perfwatch.tui import palette
from perfwatch.tui.charting import LEAST_HEIGHT, Chart, beside, drawn
from perfwatch.tui.format import NONE, count, percent
from perfwatch.tui.widgets.panel import Panel, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perfwatch.agent.model import View
    from perfwatch.tui.messages import Frame

_GAP: Final = 4
_MARGIN: Final = 3
_EACH: Final = 34
"""Cells that a chart needs beside another."""
_SECONDS: Final = 120


class Charted(Panel):
    """As many of its charts as have room beside each other, the first ones first."""

    def charts(self, view: View) -> list[Chart]:
        """Return the charts, the most telling first."""
        raise NotImplementedError

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Draw them as high as the style sheet says."""
        height, room = self.size.height, width - 2 * _MARGIN
        charts = self.charts(frame.view)[: max(1, (room + _GAP) // (_EACH + _GAP))]
        if height < LEAST_HEIGHT or not charts:
            return Text()
        each = (room - _GAP * (len(charts) - 1)) // len(charts)
        lines = beside([drawn(chart, each, height) for chart in charts], _GAP)
        return joined([Text.assemble(" " * _MARGIN, line) for line in lines])


class DiskCharts(Charted):
    """How busy the busiest disk was, and how long tasks waited."""

    def charts(self, view: View) -> list[Chart]:
        """Return both."""
        seconds = view.lately.seconds
        return [
            Chart("busiest disk", [_newest(seconds.disk_busy, percent)], percent, seconds.disk_busy, top=1.0),
            Chart(
                "some task waited for I/O",
                [_newest(seconds.io_pressure, percent)],
                percent,
                seconds.io_pressure,
                colour=palette.WARN,
                top=1.0,
            ),
        ]


class SocketCharts(Charted):
    """What stood in buffers, and who stood before the doors."""

    def charts(self, view: View) -> list[Chart]:
        """Return both."""
        seconds = view.lately.seconds
        return [
            Chart("waiting to be accepted", [_newest(seconds.accept_queue, count)], count, seconds.accept_queue),
            Chart(
                "not read or not acknowledged",
                [_newest(seconds.standing_bytes, binary)],
                binary,
                seconds.standing_bytes,
            ),
        ]


class CpuCharts(Charted):
    """How used the CPUs were, and how long tasks waited for one."""

    def charts(self, view: View) -> list[Chart]:
        """Return both."""
        used = [second.cpu_use for second in view.timeline[-_SECONDS - 1 : -1]]
        waited = view.lately.seconds.cpu_pressure
        return [
            Chart("cpu use", [_newest(used, percent)], percent, used, top=1.0),
            Chart(
                "some task waited for a CPU", [_newest(waited, percent)], percent, waited, colour=palette.WARN, top=1.0
            ),
        ]


def _newest(values: Sequence[float | None], told: Callable[[float], str]) -> Text:
    value = values[-1] if values else None
    return Text(NONE if value is None else told(value), style=palette.STRONG)
