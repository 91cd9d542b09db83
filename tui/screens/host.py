"""The host: every queue on it, who stands in them, and what it costs perfwatch to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from perfwatch.agent.report_sentences import binary, counted
from perfwatch.tui import palette
from perfwatch.tui.format import clean
from perfwatch.tui.keys import Keyed
from perfwatch.tui.screens.base import SMALLEST, FrameScreen
from perfwatch.tui.widgets.header import Header
from perfwatch.tui.widgets.host_load import HostLoad
from perfwatch.tui.widgets.host_probes import HostProbes
from perfwatch.tui.widgets.host_traffic import HostTraffic
from perfwatch.tui.widgets.key_bar import KeyBar
from perfwatch.tui.widgets.notice import NoticeLine
from perfwatch.tui.widgets.timeline import Timeline

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from perfwatch.agent.model import SessionInfo
    from perfwatch.tui.messages import Frame

_TWO_COLUMNS = 156


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


class HostScreen(FrameScreen):
    """Live and replayed alike: it shows the view, over its last seconds. A wide terminal has two columns."""

    CSS_PATH = "host.tcss"
    AUTO_FOCUS: ClassVar[str | None] = "Scrolled"
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (SMALLEST[0], "-narrow"), (96, "-normal"), (_TWO_COLUMNS, "-wide")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.leave", "back", key_display="esc")]

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Header().data_bind(FrameScreen.frame)
        yield NoticeLine().data_bind(FrameScreen.frame)
        yield Static(id="title")
        with Scrolled():
            with Vertical():
                yield HostLoad().data_bind(FrameScreen.frame)
            with Vertical():
                yield HostTraffic().data_bind(FrameScreen.frame)
                yield HostProbes().data_bind(FrameScreen.frame)
        yield Timeline().data_bind(FrameScreen.frame)
        yield KeyBar()

    def show_frame(self, frame: Frame) -> None:
        """Say which host it is; the rest is bound to the frame."""
        self.query_one("#title", Static).update(_title(frame.info))


def _title(info: SessionInfo) -> Text:
    system = f"Linux {clean(info.kernel)} {clean(info.machine)}"
    size = f"{counted(info.cpus, 'CPU')}   {binary(info.memory_bytes)}"
    return Text.assemble(
        ("host ", palette.QUIET),
        (clean(info.hostname), palette.STRONG),
        (f"   {system}   {size}   over the last 10 s", palette.QUIET),
        no_wrap=True,
    )
