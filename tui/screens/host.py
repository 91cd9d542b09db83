"""The host: its CPUs and who uses them, pressure, the limits of the target's cgroups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from perfwatch.agent.report_sentences import binary, counted
from perfwatch.tui import palette
from perfwatch.tui.format import clean
from perfwatch.tui.screens.sectioned import SectionedScreen
from perfwatch.tui.widgets.charted import CpuCharts
from perfwatch.tui.widgets.host_load import HostLoad
from perfwatch.tui.widgets.host_share import HostShare

if TYPE_CHECKING:
    from perfwatch.agent.model import SessionInfo
    from perfwatch.tui.messages import Frame
    from perfwatch.tui.widgets.panel import Panel


class HostScreen(SectionedScreen):
    """What there is, and who has it."""

    def columns(self) -> tuple[list[Panel], list[Panel]]:
        """Return how used it is, then who uses it."""
        return [HostLoad()], [HostShare()]

    def chart(self) -> Panel:
        """Return its last seconds."""
        return CpuCharts()

    def headline(self, frame: Frame) -> Text:
        """Say which host it is."""
        return _title(frame.info, frame.lately())


def _title(info: SessionInfo, lately: str) -> Text:
    system = f"Linux {clean(info.kernel)} {clean(info.machine)}"
    size = f"{counted(info.cpus, 'CPU')}   {binary(info.memory_bytes)}"
    return Text.assemble(
        ("host ", palette.QUIET),
        (clean(info.hostname), palette.STRONG),
        (f"   over {lately}   {size}   {system}", palette.QUIET),
        no_wrap=True,
    )
