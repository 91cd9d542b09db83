"""One operation of a peer: the slow requests that asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Static

from perfwatch.tui.screens.base import FrameScreen
from perfwatch.tui.screens.request import RequestScreen
from perfwatch.tui.widgets.called_rows import Kind, kinds_of, told_of
from perfwatch.tui.widgets.header import Header
from perfwatch.tui.widgets.notice import NoticeLine
from perfwatch.tui.widgets.requests import RequestRows
from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.timeline import Timeline

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from perfwatch.tui.messages import Frame


class AskedScreen(FrameScreen):
    """Where the operation is not among the longest any more, what was last known of it stays."""

    CSS_PATH = "listed.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.leave", "back", key_display="esc")]

    def __init__(self, key: str, frame: Frame | None = None) -> None:
        """`key` is that of a `Kind`."""
        super().__init__(frame)
        self._key = key
        self._kind: Kind | None = None

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Header().data_bind(FrameScreen.frame)
        yield NoticeLine().data_bind(FrameScreen.frame)
        yield Static(id="detail")
        yield RequestRows()
        yield Timeline().data_bind(FrameScreen.frame)
        yield Footer(compact=True, show_command_palette=False)

    def show_frame(self, frame: Frame) -> None:
        """Show the operation, and who asked for it."""
        found = (kind for kind in kinds_of(frame.view) if kind.key == self._key)
        self._kind = kind = next(found, self._kind)
        if kind is None:
            return
        self.query_one("#detail", Static).update(told_of(kind))
        self.query_one(RequestRows).take(filter(kind.made_by, frame.view.requests), frame.info)

    @on(RowList.Chosen)
    def _open(self, event: RowList.Chosen) -> None:
        self.app.push_screen(RequestScreen(int(event.key), self.frame))
