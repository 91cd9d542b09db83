"""The pages that tell much of one thing: sections in one column, or in two where there is room; they scroll."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from perfwatch.tui.keys import Keyed
from perfwatch.tui.screens.base import SMALLEST, FrameScreen
from perfwatch.tui.widgets.header import Header
from perfwatch.tui.widgets.key_bar import KeyBar
from perfwatch.tui.widgets.notice import NoticeLine
from perfwatch.tui.widgets.timeline import Timeline

if TYPE_CHECKING:
    from rich.text import Text
    from textual.app import ComposeResult

    from perfwatch.tui.messages import Frame
    from perfwatch.tui.widgets.panel import Panel

TWO_COLUMNS: Final = 156


class Scrolled(Keyed, VerticalScroll, can_focus=True, inherit_bindings=False):
    """Scrolls by keys; left and right stay with time."""

    KEYS_OF = "a page that scrolls"
    ALLOW_MAXIMIZE: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_up", "scroll up", show=False),
        Binding("down", "scroll_down", "scroll down", show=False),
        Binding("pageup", "page_up", "a page up", show=False),
        Binding("pagedown", "page_down", "a page down", show=False),
        Binding("home", "scroll_home", "to the top", show=False),
        Binding("end", "scroll_end", "to the end", show=False),
    ]


class SectionedScreen(FrameScreen):
    """Live and replayed alike: it shows the view, over its last seconds."""

    KEYS_OF = "disk, host, probes"
    CSS_PATH = "sectioned.tcss"
    AUTO_FOCUS: ClassVar[str | None] = "Scrolled"
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (SMALLEST[0], "-narrow"), (96, "-normal"), (TWO_COLUMNS, "-wide")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.leave", "back", key_display="esc")]

    def columns(self) -> tuple[list[Panel], list[Panel]]:
        """Return the panels of both columns; the second stands below the first where there is no room beside it."""
        raise NotImplementedError

    def chart(self) -> Panel | None:
        """Return what is drawn above them, if anything is."""
        return None

    def headline(self, frame: Frame) -> Text:
        """Say in one line what the page is of."""
        raise NotImplementedError

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Header().data_bind(FrameScreen.frame)
        yield NoticeLine().data_bind(FrameScreen.frame)
        yield Static(id="title")
        chart = self.chart()
        if chart is not None:
            yield chart.data_bind(FrameScreen.frame)
        with Scrolled():
            for column in self.columns():
                with Vertical():
                    for panel in column:
                        yield panel.data_bind(FrameScreen.frame)
        yield Timeline().data_bind(FrameScreen.frame)
        yield KeyBar()

    def show_frame(self, frame: Frame) -> None:
        """Say what it is of; the rest is bound to the frame."""
        self.query_one("#title", Static).update(self.headline(frame))
