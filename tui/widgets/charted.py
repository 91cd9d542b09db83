"""A line of charts at the head of a page, over the last seconds or a window; without room for them, nothing."""

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
        is_whole = frame.position.window is not None
        charts = [one._replace(area=one.area[0 if is_whole else -_SECONDS :], is_whole=is_whole) for one in charts]
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
            _share("busiest disk", seconds.disk_busy),
            _share("some task waited for I/O", seconds.io_pressure, palette.WARN),
        ]


class SocketCharts(Charted):
    """What stood in buffers, and who stood before the doors."""

    def charts(self, view: View) -> list[Chart]:
        """Return both."""
        seconds = view.lately.seconds
        return [
            _lately("waiting to be accepted", seconds.accept_queue, count),
            _lately("not read or not acknowledged", seconds.standing_bytes, binary),
        ]


class CpuCharts(Charted):
    """How used the CPUs were, and how long tasks waited for one."""

    def charts(self, view: View) -> list[Chart]:
        """Return both."""
        used = [second.cpu_use for second in view.timeline[:-1]]
        return [
            _share("cpu use", used),
            _share("some task waited for a CPU", view.lately.seconds.cpu_pressure, palette.WARN),
        ]


def _lately(name: str, values: Sequence[float | None], told: Callable[[float], str]) -> Chart:
    """Chart values, the newest of which is the figure."""
    newest = values[-1] if values else None
    return Chart(name, [Text(NONE if newest is None else told(newest), style=palette.STRONG)], told, values)


def _share(name: str, values: Sequence[float | None], colour: str = palette.LINE) -> Chart:
    """Chart parts of a whole, which is the end of the scale."""
    return _lately(name, values, percent)._replace(colour=colour, top=1.0)
