"""The slow requests that used something: made a kind of calls, came on a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Static

from perfwatch.tui.messages import DetailWanted
from perfwatch.tui.screens.base import DetailScreen, FrameScreen
from perfwatch.tui.screens.request import RequestScreen
from perfwatch.tui.widgets.header import Header
from perfwatch.tui.widgets.key_bar import KeyBar
from perfwatch.tui.widgets.notice import NoticeLine
from perfwatch.tui.widgets.requests import RequestRows
from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.timeline import Timeline

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from perfwatch.tui.messages import Frame
    from perfwatch.tui.subjects import Subject


class UsersScreen(DetailScreen["Subject"]):
    """What was last known of its subject stays, where that has gone."""

    CSS_PATH = "listed.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.leave", "back", key_display="esc")]

    def take(self, subject: Subject) -> None:
        """List who used this."""
        self._subject = subject

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Header().data_bind(FrameScreen.frame)
        yield NoticeLine().data_bind(FrameScreen.frame)
        yield Static(id="detail")
        yield RequestRows()
        yield Timeline().data_bind(FrameScreen.frame)
        yield KeyBar()

    def show_frame(self, frame: Frame) -> None:
        """Tell the subject, and list who used it."""
        self._subject = subject = self._subject.renewed(frame.view)
        self.query_one("#detail", Static).update(subject.told())
        self.query_one(RequestRows).take(filter(subject.used_by, frame.view.requests), frame.info)

    @on(RowList.Chosen)
    def _open(self, event: RowList.Chosen) -> None:
        self.post_message(DetailWanted(RequestScreen, int(event.key)))
