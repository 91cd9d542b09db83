"""What all screens that show a frame have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from perfwatch.tui import palette
from perfwatch.tui.keys import Keyed
from perfwatch.tui.messages import Shown
from perfwatch.tui.pages import PAGES
from perfwatch.tui.widgets.ledger import LedgerPanel
from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.why import WhyPanel

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from perfwatch.tui.messages import Frame

SMALLEST = (60, 16)
"""Below this nothing useful fits."""

TIME_KEYS: Final = (
    Binding("space", "app.pause", "pause"),
    Binding("left", "app.seek(-1)", "one second back", show=False, key_display="←"),
    Binding("right", "app.seek(1)", "one second on", show=False, key_display="→"),
    Binding("left_square_bracket", "app.slow(-1)", "slow request before", show=False, key_display="["),
    Binding("right_square_bracket", "app.slow(1)", "slow request after", show=False, key_display="]"),
    Binding("comma", "app.sample(-1)", "sample before", show=False, key_display=","),
    Binding("full_stop", "app.sample(1)", "sample after", show=False, key_display="."),
    Binding("minus", "app.speed(-1)", "slower", show=False, key_display="-"),
    Binding("plus,equals_sign", "app.speed(1)", "faster", show=False, key_display="+"),
    Binding("j", "app.jump", "jump"),
    Binding("L,end", "app.edge", "live again; of a recording: its end", show=False, key_display="L"),
    Binding("v", "app.window", "select a window: its begin, its end; leave it", show=False),
    Binding("m", "app.bookmark", "set a bookmark", show=False),
    Binding("M", "app.bookmarks", "list the bookmarks", show=False),
    Binding("x", "app.compare", "compare the window with the one kept by X, or what was before it", show=False),
    Binding("X", "app.keep_window", "keep the window, to compare another with it", show=False),
    Binding("w", "app.write", "write what was seen to a session file", show=False),
)
"""The keys of time are the same on all screens that show a frame."""


class TooSmall(Widget):
    """Covers a screen that has too little room, and says so."""

    def render(self) -> Text:
        """Say what there is and what it takes."""
        width, height = self.app.size
        return Text(
            f"terminal too small\n{width}x{height}, needs {SMALLEST[0]}x{SMALLEST[1]}",
            style=palette.STRONG,
            justify="center",
        )


class SizedScreen(Keyed, Screen[None]):
    """A screen that tells its style sheet how much room there is."""

    KEYS_OF = "every screen"
    AUTO_FOCUS: ClassVar[str | None] = "RowList"
    # With priority: keys that are typed ahead go to the list that is reached by this one.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "next list", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", "previous list", show=False, priority=True),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (SMALLEST[0], "-narrow"), (96, "-normal")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (SMALLEST[1], "-short"), (22, "-medium"), (28, "-tall"), (36, "-high")]  # noqa: RUF012

    def compose(self) -> ComposeResult:
        """Put the parts below each other; what covers them comes last."""
        yield from self.compose_parts()
        yield TooSmall()

    def compose_parts(self) -> ComposeResult:
        """Yield the widgets of the screen."""
        raise NotImplementedError


class FrameScreen(SizedScreen):
    """A screen that is a function of the newest frame; its widgets get it by `data_bind`."""

    KEYS_OF = "time, and pages"
    BINDINGS: ClassVar[list[BindingType]] = [*TIME_KEYS, *(page.binding for page in PAGES)]

    frame: reactive[Frame | None] = reactive(None, repaint=False)
    page: str | None = None
    """Which page it is; None: it lies over one, as a detail of what is there."""

    def __init__(self, frame: Frame | None = None) -> None:
        """`frame` is what to show until the next one comes."""
        super().__init__()
        self.set_reactive(FrameScreen.frame, frame)

    @property
    def page_shown(self) -> str | None:
        """The page that this screen is, or lies over."""
        screens = (screen for screen in reversed(self.app.screen_stack) if isinstance(screen, FrameScreen))
        return next((screen.page for screen in screens if screen.page is not None), None)

    def on_mount(self) -> None:
        """Show what there is already."""
        if self.frame is not None:
            self.show_frame(self.frame)

    def watch_frame(self, frame: Frame | None) -> None:
        """Show a new frame; before the mounting there is nothing to show it with."""
        if frame is not None and self.is_mounted:
            self.show_frame(frame)

    @property
    def moment_ns(self) -> int | None:
        """What one goes on from to the next slow request; None: where the view stands."""
        return None

    def show_moment(self, at_ns: int) -> None:
        """Point at the slow request that somebody went to."""
        requests = () if self.frame is None else self.frame.view.requests
        found = next((request.record.id for request in requests if request.record.at_ns == at_ns), None)
        for rows in self.query("RequestRows, RequestTable").results(RowList):
            rows.point_at(str(found))

    def show_frame(self, frame: Frame) -> None:
        """Hand the frame to those widgets that are not bound to it."""
        raise NotImplementedError


class DetailScreen(FrameScreen, Generic[Shown]):
    """Lies over another screen and shows one subject; it is kept, and shows another one the next time."""

    def __init__(self, subject: Shown, frame: Frame | None = None) -> None:
        super().__init__(frame)
        self.take(subject)

    def take(self, subject: Shown) -> None:
        """Begin with a subject: whatever of the screen belongs to one that is shown is as it was at first."""
        raise NotImplementedError

    def begin(self, subject: Shown, frame: Frame | None) -> None:
        """Show a subject as if this were a new screen."""
        self.take(subject)
        parts: list[RowList[Any] | LedgerPanel | WhyPanel] = [
            *self.query(RowList),
            *self.query(LedgerPanel),
            *self.query(WhyPanel),
        ]
        for part in parts:
            part.begin()
        for line in self.query(Static):
            line.update("")
        self.set_focus(self.query(self.AUTO_FOCUS or "RowList").first())
        if frame is not None and frame is self.frame:
            self.show_frame(frame)
        self.frame = frame
