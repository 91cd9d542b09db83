"""The threads of the target: what each does and did, who holds what they wait for, and where one stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType

from perfwatch.tui.screens.base import FrameScreen
from perfwatch.tui.screens.sectioned import Scrolled
from perfwatch.tui.widgets.header import Header
from perfwatch.tui.widgets.key_bar import KeyBar
from perfwatch.tui.widgets.notice import NoticeLine
from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.thread_detail import ThreadDetail
from perfwatch.tui.widgets.thread_locks import ThreadLocks
from perfwatch.tui.widgets.thread_rows import ThreadRows
from perfwatch.tui.widgets.timeline import Timeline

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from perfwatch.tui.messages import Frame


class ThreadsScreen(FrameScreen):
    """A list, and below it the thread under the cursor; enter gives that the room of the list."""

    CSS_PATH = "threads.tcss"
    AUTO_FOCUS: ClassVar[str | None] = "ThreadRows"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "whole", "whole stack", show=False),
        Binding("escape", "back", "back", key_display="esc"),
    ]

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Header().data_bind(FrameScreen.frame)
        yield NoticeLine().data_bind(FrameScreen.frame)
        yield ThreadLocks().data_bind(FrameScreen.frame)
        yield ThreadRows()
        with Scrolled():
            yield ThreadDetail().data_bind(FrameScreen.frame)
        yield Timeline().data_bind(FrameScreen.frame)
        yield KeyBar()

    def show_frame(self, frame: Frame) -> None:
        """Fill the list; the rest is bound to the frame."""
        self.query_one(ThreadRows).take(frame)
        self._look()

    @on(RowList.Moved)
    def _look(self) -> None:
        if not self.has_class("-whole"):
            thread = self.query_one(ThreadRows).pointed
            self.query_one(ThreadDetail).thread = None if thread is None else (thread.pid, thread.tid)

    @on(RowList.Chosen)
    def action_whole(self) -> None:
        """Give the thread under the cursor the room of the list, or take it back."""
        self.toggle_class("-whole")
        self.set_focus(self.query_one(Scrolled if self.has_class("-whole") else ThreadRows))

    async def action_back(self) -> None:
        """Close the whole stack; the page, if it is not open."""
        if self.has_class("-whole"):
            self.action_whole()
        else:
            await self.run_action("app.leave")
