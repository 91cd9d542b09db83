"""The calls: what was asked of whom, how often, how long that took; and the waits for pools before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Static

from perfwatch.tui.messages import DetailWanted
from perfwatch.tui.screens.base import FrameScreen
from perfwatch.tui.screens.users import UsersScreen
from perfwatch.tui.subjects import OfKind
from perfwatch.tui.widgets.called_peers import CalledPeers
from perfwatch.tui.widgets.called_rows import CalledRows
from perfwatch.tui.widgets.header import Header
from perfwatch.tui.widgets.key_bar import KeyBar
from perfwatch.tui.widgets.notice import NoticeLine
from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.timeline import Timeline

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from perfwatch.tui.messages import Frame


class CallsScreen(FrameScreen):
    """Over the session: calls of all requests, also of those that were not slow."""

    CSS_PATH = "listed.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.leave", "back", key_display="esc")]

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Header().data_bind(FrameScreen.frame)
        yield NoticeLine().data_bind(FrameScreen.frame)
        yield CalledRows()
        yield Static(id="detail")
        yield CalledPeers().data_bind(FrameScreen.frame)
        yield Timeline().data_bind(FrameScreen.frame)
        yield KeyBar()

    def show_frame(self, frame: Frame) -> None:
        """Hand the list its rows; the rest is bound to the frame."""
        self.query_one(CalledRows).take(frame.view)
        self._tell()

    @on(RowList.Moved)
    def _tell(self) -> None:
        self.query_one("#detail", Static).update(self.query_one(CalledRows).tell())

    @on(RowList.Chosen)
    def _open(self, event: RowList.Chosen) -> None:
        kind = self.query_one(CalledRows).item(event.key)
        if kind is not None:
            self.post_message(DetailWanted(UsersScreen, OfKind(kind)))
