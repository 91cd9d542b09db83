"""The disks: how busy each is, who moves the bytes, what of it is the target's own, and what waited for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from perfwatch.tui import palette
from perfwatch.tui.format import clean, duration, percent
from perfwatch.tui.gauges import FULL
from perfwatch.tui.screens.sectioned import SectionedScreen
from perfwatch.tui.widgets.charted import DiskCharts
from perfwatch.tui.widgets.disk_load import DiskLoad
from perfwatch.tui.widgets.disk_use import DiskUse

if TYPE_CHECKING:
    from perfwatch.tui.messages import Frame
    from perfwatch.tui.widgets.panel import Panel


class DiskScreen(SectionedScreen):
    """The devices, and those who use them."""

    def columns(self) -> tuple[list[Panel], list[Panel]]:
        """Return the devices, then their users."""
        return [DiskLoad()], [DiskUse()]

    def chart(self) -> Panel:
        """Return its last seconds."""
        return DiskCharts()

    def headline(self, frame: Frame) -> Text:
        """Name the busiest device, and say whether the target waited for it."""
        devices = frame.view.queues.disks
        told = Text.assemble(("disk ", palette.QUIET), no_wrap=True)
        if not devices:
            return told.append("nothing was measured of the disks: see the probes, key 0", palette.QUIET)
        busiest = devices[0]
        busy = f"{clean(busiest.device)} {percent(busiest.utilisation)} busy"
        told.append(busy, palette.ALARM if busiest.utilisation >= FULL else palette.STRONG)
        told.append(f" over {frame.lately()}", palette.QUIET)
        waited = sum(one.total_ms for one in frame.view.disk_waits)
        words = f"judged requests waited {duration(waited)} for it" if waited else "no judged request waited for a disk"
        return told.append(f"   {words}", palette.QUIET)
