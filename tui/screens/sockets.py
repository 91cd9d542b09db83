"""The sockets: who waits to be accepted, what was not read or not acknowledged yet, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Static

from perfwatch.tui.messages import DetailWanted
from perfwatch.tui.screens.base import FrameScreen
from perfwatch.tui.screens.users import UsersScreen
from perfwatch.tui.subjects import OnConnection
from perfwatch.tui.widgets.charted import SocketCharts
from perfwatch.tui.widgets.header import Header
from perfwatch.tui.widgets.key_bar import KeyBar
from perfwatch.tui.widgets.notice import NoticeLine
from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.socket_doors import SocketDoors
from perfwatch.tui.widgets.socket_rows import SocketRows
from perfwatch.tui.widgets.timeline import Timeline

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from perfwatch.tui.messages import Frame


class SocketsScreen(FrameScreen):
    """Live and replayed alike: as of the last reading, and over the last seconds."""

    CSS_PATH = "listed.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.leave", "back", key_display="esc")]

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Header().data_bind(FrameScreen.frame)
        yield NoticeLine().data_bind(FrameScreen.frame)
        yield SocketCharts().data_bind(FrameScreen.frame)
        yield SocketDoors().data_bind(FrameScreen.frame)
        yield SocketRows()
        yield Static(id="detail")
        yield Timeline().data_bind(FrameScreen.frame)
        yield KeyBar()

    def show_frame(self, frame: Frame) -> None:
        """Hand the list its rows; the rest is bound to the frame."""
        self.query_one(SocketRows).take(frame.view)
        self._tell()

    @on(RowList.Moved)
    def _tell(self) -> None:
        self.query_one("#detail", Static).update(self.query_one(SocketRows).tell())

    @on(RowList.Chosen)
    def _open(self, event: RowList.Chosen) -> None:
        connected = self.query_one(SocketRows).item(event.key)
        if connected is not None:
            self.post_message(DetailWanted(UsersScreen, OnConnection(connected)))
