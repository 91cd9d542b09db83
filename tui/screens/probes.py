"""The probes: what it costs to know all this, what is not known, and what the doctor says would help."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from perfwatch.tui import palette
from perfwatch.tui.format import count
from perfwatch.tui.messages import DoctorWanted
from perfwatch.tui.screens.sectioned import SectionedScreen
from perfwatch.tui.widgets.doctor import WAITING, DoctorPanel
from perfwatch.tui.widgets.own_cost import OwnCostPanel
from perfwatch.tui.widgets.probe_lines import ProbeLines

if TYPE_CHECKING:
    from perfwatch.agent.doctor import Diagnosis
    from perfwatch.tui.messages import Frame
    from perfwatch.tui.widgets.panel import Panel


class ProbesScreen(SectionedScreen):
    """Of the session; the doctor looks at the machine as it is now, and only when asked."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("d", "doctor", "doctor")]

    def columns(self) -> tuple[list[Panel], list[Panel]]:
        """Return the cost and what each probe does, then what the doctor found."""
        return [OwnCostPanel(), ProbeLines()], [DoctorPanel()]

    def headline(self, frame: Frame) -> Text:
        """Say how many run as they should."""
        probes = frame.info.probes
        running = sum(probe.status == "running" for probe in probes)
        lost = frame.view.lost
        return Text.assemble(
            ("probes ", palette.QUIET),
            (f"{running} of {len(probes)} run as they should", palette.STRONG),
            (f"   {count(lost)} events lost", palette.WARN) if lost else ("   nothing was lost", palette.QUIET),
            no_wrap=True,
        )

    def action_doctor(self) -> None:
        """Have the doctor look at this machine and the target."""
        self.tell_doctor(WAITING)
        self.post_message(DoctorWanted(self))

    def tell_doctor(self, found: Diagnosis | str) -> None:
        """Show what the doctor found, or why there is nothing yet; a page that was left does not care."""
        for panel in self.query(DoctorPanel):
            panel.tell(found)
            self.call_after_refresh(panel.scroll_visible, animate=False, top=True)
