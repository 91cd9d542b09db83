"""Memory and garbage: who holds how much, whether it grows, what it is limited to, what the collectors do."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.reactive import reactive

from perfwatch.tui.screens.base import FrameScreen
from perfwatch.tui.screens.sectioned import Scrolled
from perfwatch.tui.widgets.gc_rows import ORDERS, GcRows
from perfwatch.tui.widgets.header import Header
from perfwatch.tui.widgets.key_bar import KeyBar
from perfwatch.tui.widgets.memory_use import MemoryUse
from perfwatch.tui.widgets.notice import NoticeLine
from perfwatch.tui.widgets.timeline import Timeline

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from perfwatch.tui.messages import Frame


class MemoryScreen(FrameScreen):
    """What scrolls, and below it the single runs of the collectors."""

    CSS_PATH = "memory.tcss"
    AUTO_FOCUS: ClassVar[str | None] = "Scrolled"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "order", "newest or longest runs"),
        Binding("escape", "app.leave", "back", key_display="esc"),
    ]

    order: reactive[str] = reactive(ORDERS[0])

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Header().data_bind(FrameScreen.frame)
        yield NoticeLine().data_bind(FrameScreen.frame)
        with Scrolled():
            yield MemoryUse().data_bind(FrameScreen.frame)
        yield GcRows()
        yield Timeline().data_bind(FrameScreen.frame)
        yield KeyBar()

    def show_frame(self, frame: Frame) -> None:
        """Fill the list; the rest is bound to the frame."""
        self.query_one(GcRows).take(frame.view, frame.info, self.order)

    def watch_order(self) -> None:
        """Show the others."""
        if self.frame is not None and self.is_mounted:
            self.show_frame(self.frame)
            self.query_one(GcRows).refresh()

    def action_order(self) -> None:
        """Show the longest runs in place of the newest, or these again."""
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
