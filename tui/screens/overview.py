"""The first screen once attached: how things stand, what is slow and why, what hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widgets import Footer, Input

from perfwatch.tui.screens.base import FrameScreen
from perfwatch.tui.screens.endpoint import EndpointScreen
from perfwatch.tui.screens.request import RequestScreen
from perfwatch.tui.widgets.chances import ChanceLine
from perfwatch.tui.widgets.endpoints import EndpointRows, key_of
from perfwatch.tui.widgets.header import Header
from perfwatch.tui.widgets.inflight import Hanging, OpenRows
from perfwatch.tui.widgets.notice import NoticeLine
from perfwatch.tui.widgets.requests import RequestRows
from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.signals import Signals
from perfwatch.tui.widgets.timeline import Timeline
from perfwatch.tui.widgets.used import QueueLine, Used
from perfwatch.tui.widgets.verdict import VerdictBox

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from perfwatch.tui.messages import Frame


class OverviewScreen(FrameScreen):
    """Lists and signals of one source."""

    CSS_PATH = "overview.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", key_display="/", priority=True),  # what is typed ahead goes into the box
        Binding("escape", "clear_filter", "clear the filter", show=False),
    ]

    needle: reactive[str] = reactive("")
    """What endpoints and requests must contain to be listed."""

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Header().data_bind(FrameScreen.frame)
        yield VerdictBox().data_bind(FrameScreen.frame)
        yield NoticeLine().data_bind(FrameScreen.frame)
        yield Signals().data_bind(FrameScreen.frame)
        yield QueueLine().data_bind(FrameScreen.frame)
        yield Used().data_bind(FrameScreen.frame)
        yield ChanceLine().data_bind(FrameScreen.frame)
        yield EndpointRows(id="endpoints")
        yield RequestRows(id="slow")
        yield OpenRows(id="open")
        yield Timeline().data_bind(FrameScreen.frame)
        yield Input(placeholder="part of a method or path; enter keeps it, esc clears it", id="filter", compact=True)
        yield Footer(compact=True, show_command_palette=False)

    def watch_needle(self) -> None:
        """Filter the lists."""
        if self.frame is not None and self.is_mounted:
            self.show_frame(self.frame)

    def show_frame(self, frame: Frame) -> None:
        """Hand the lists their rows."""
        view = frame.view
        endpoints = [(key_of((end.method, end.place)), end) for end in view.endpoints]
        self.query_one(EndpointRows).show([row for row in endpoints if self._matches(row[0])])
        slow = view.requests
        if self.needle:
            slow = tuple(request for request in slow if self._matches(key_of(request.endpoint)))
        self.query_one(RequestRows).take(slow, frame.info)
        hanging = [r for r in view.in_flight if self._matches(f"{r.method or '?'} {r.target or ''}")]
        self.query_one(OpenRows).show([(str(r.id), Hanging.of(r, view)) for r in hanging])

    def _matches(self, name: str) -> bool:
        return self.needle in name.lower()

    # Details

    @on(RowList.Chosen, "#endpoints")
    def _open_endpoint(self, event: RowList.Chosen) -> None:
        self.app.push_screen(EndpointScreen(event.key, self.frame))

    @on(RowList.Chosen, "#slow")
    @on(RowList.Chosen, "#open")
    def _open_request(self, event: RowList.Chosen) -> None:
        self.app.push_screen(RequestScreen(int(event.key), self.frame))

    def show_moment(self, at_ns: int) -> None:
        """Point at a slow request, and let `enter` open it."""
        self.query_one(RequestRows).focus()
        super().show_moment(at_ns)

    # Filter

    def action_filter(self) -> None:
        """Show the filter line."""
        box = self.query_one("#filter", Input)
        box.display = True
        self.set_focus(box)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """Let the box have its own slashes."""
        return action != "filter" or not (self.is_mounted and self.query_one("#filter", Input).has_focus)

    def action_clear_filter(self) -> None:
        """Show everything again."""
        self.query_one("#filter", Input).value = ""
        self._leave_filter()

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        self.needle = event.value.strip().lower()

    @on(Input.Submitted, "#filter")
    def _leave_filter(self) -> None:
        box = self.query_one("#filter", Input)
        had_focus = box.has_focus
        box.display = bool(box.value)
        if had_focus:
            self.set_focus(self.query_one(EndpointRows))
