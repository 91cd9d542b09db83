"""The application: wires a source to the screens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.binding import Binding, BindingType
from textual.worker import get_current_worker

from perfwatch.agent.errors import PerfwatchError
from perfwatch.tui import picture
from perfwatch.tui.choices import Choices
from perfwatch.tui.feed import Feed, JudgeFactory, new_correlator
from perfwatch.tui.messages import (
    Attached,
    AttachFailed,
    CandidateChosen,
    ChoicesMade,
    DoctorWanted,
    FrameReady,
)
from perfwatch.tui.pages import OVERVIEW, PAGES
from perfwatch.tui.screens.base import TIME_KEYS, FrameScreen
from perfwatch.tui.screens.calls import CallsScreen
from perfwatch.tui.screens.disk import DiskScreen
from perfwatch.tui.screens.filtered import FilteredScreen
from perfwatch.tui.screens.flame import FlameScreen
from perfwatch.tui.screens.help import help_sheet, legend_sheet
from perfwatch.tui.screens.host import HostScreen
from perfwatch.tui.screens.memory import MemoryScreen
from perfwatch.tui.screens.overview import OverviewScreen
from perfwatch.tui.screens.picker import PickerScreen
from perfwatch.tui.screens.probes import ProbesScreen
from perfwatch.tui.screens.request import RequestScreen
from perfwatch.tui.screens.requests import RequestsScreen
from perfwatch.tui.screens.sectioned import Scrolled
from perfwatch.tui.screens.sockets import SocketsScreen
from perfwatch.tui.screens.threads import ThreadsScreen
from perfwatch.tui.screens.tree import TreeScreen
from perfwatch.tui.theme import THEME
from perfwatch.tui.travel import Traveller
from perfwatch.tui.widgets.calls import CallRows
from perfwatch.tui.widgets.flame import FlameGraph
from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.sorted_rows import SortedRows
from perfwatch.tui.widgets.stack import StackRows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perfwatch.agent.doctor import Diagnosis
    from perfwatch.agent.source import Source
    from perfwatch.agent.target import Candidate

_JOIN_S: Final = 2.0
SCREENS: Final[dict[str, type[FrameScreen]]] = {
    "requests": RequestsScreen,
    "sockets": SocketsScreen,
    "disk": DiskScreen,
    "calls": CallsScreen,
    "threads": ThreadsScreen,
    "memory": MemoryScreen,
    "flame": FlameScreen,
    "host": HostScreen,
    "probes": ProbesScreen,
}
"""Of each page but the overview, which always lies below."""


class PerfwatchApp(Traveller):
    """Shows one source; without one, lets somebody pick a process first. It closes the source that it shows."""

    TITLE = "perfwatch"
    CSS_PATH = "screens/common.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "legend", "legend"),
        Binding("P", "picture", "save a picture of the screen", show=False),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", "quit", show=False),
    ]

    def __init__(
        self,
        source: Source | None,
        *,
        attach: Callable[[int], Source] | None = None,
        candidates: Callable[[], Sequence[Candidate]] | None = None,
        diagnose: Callable[[int], Diagnosis] | None = None,
        judge_factory: JudgeFactory = new_correlator,
    ) -> None:
        """`attach`, `candidates` and `diagnose` are called in threads; all may raise PerfwatchError."""
        super().__init__()
        self._source, self._diagnose = source, diagnose
        self._attach_pid, self._candidates, self._judge_factory = attach, candidates, judge_factory
        self._feed: Feed | None = None
        self.choices = Choices()

    def on_mount(self) -> None:
        """Open the first screen."""
        self.register_theme(THEME)
        self.theme = THEME.name
        if self._source is not None:
            self._watch(self._source)
        else:
            self.push_screen(PickerScreen(self._candidates or tuple))

    def on_unmount(self) -> None:
        """End the feed and the source."""
        if self._feed is not None:
            self._feed.stop()
        if self._source is not None:
            self._source.close()
        if self._feed is not None:
            self._feed.join(_JOIN_S)

    # Frames

    def _watch(self, source: Source) -> None:
        self.set_out(source)
        self.push_screen(OverviewScreen())
        self._feed = Feed(source, lambda frame: self.post_message(FrameReady(frame)), self._judge_factory)
        self._feed.start()

    @on(FrameReady)
    def _frame_ready(self, message: FrameReady) -> None:
        self.frame = self.stamped(message.frame)
        if self.is_running:  # else its screens are being taken apart
            self._deliver()

    def _deliver(self) -> None:
        """Hand the frame to what can be seen: the top screen, and those that shine through."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, FrameScreen):
                if isinstance(screen, FilteredScreen):
                    screen.choices = self.choices
                screen.frame = self.frame
                self.arrived(screen)
                return

    @on(ChoicesMade)
    def _choices_made(self, message: ChoicesMade) -> None:
        self.choices = message.choices
        self._deliver()

    def action_leave(self) -> None:
        """Close the top screen."""
        if isinstance(self.screen, FrameScreen) and not isinstance(self.screen, OverviewScreen):
            self.pop_screen()
            self._deliver()

    def action_page(self, name: str) -> None:
        """Show a page in place of what lies over the overview; from that page, go back."""
        was_there = name != OVERVIEW and isinstance(self.screen, SCREENS[name])
        while isinstance(self.screen, FrameScreen) and not isinstance(self.screen, OverviewScreen):
            self.pop_screen()
        if name == OVERVIEW or was_there:
            self._deliver()
        else:
            self.push_screen(SCREENS[name](self.frame))
            self._deliver()

    # Attaching

    @on(CandidateChosen)
    def _candidate_chosen(self, message: CandidateChosen) -> None:
        if self._attach_pid is None:
            self.post_message(AttachFailed("this session cannot attach"))
            return
        self._picker().busy = message.candidate.pid
        self._attach_to(self._attach_pid, message.candidate.pid)

    @work(thread=True, group="attach")
    def _attach_to(self, attach: Callable[[int], Source], pid: int) -> None:
        try:
            source = attach(pid)
        except PerfwatchError as error:
            self.post_message(AttachFailed(str(error)))
            return
        if get_current_worker().is_cancelled:
            source.close()
        else:
            self.post_message(Attached(source))

    @on(Attached)
    def _attached(self, message: Attached) -> None:
        self._watch(message.source)

    @on(AttachFailed)
    def _attach_failed(self, message: AttachFailed) -> None:
        picker = self._picker()
        picker.busy, picker.problem = None, message.problem

    def _picker(self) -> PickerScreen:
        return next(screen for screen in self.screen_stack if isinstance(screen, PickerScreen))

    # The doctor

    @on(DoctorWanted)
    def _doctor_wanted(self, message: DoctorWanted) -> None:
        if self._diagnose is None or self.frame is None:
            message.by.tell_doctor("the doctor looks at a machine, and this is a recording: see perfwatch doctor")
        else:
            self._ask_doctor(self._diagnose, self.frame.info.pid, message.by)

    @work(thread=True, group="doctor", exclusive=True)
    def _ask_doctor(self, diagnose: Callable[[int], Diagnosis], pid: int, by: ProbesScreen) -> None:
        found: Diagnosis | str
        try:
            found = diagnose(pid)
        except PerfwatchError as error:
            found = str(error)
        if not get_current_worker().is_cancelled:
            self.call_from_thread(by.tell_doctor, found)

    # Pages and pictures

    def action_help(self) -> None:
        """Show the keys."""
        groups = [
            ("everywhere", self.BINDINGS),
            ("time", TIME_KEYS),
            ("pages", [page.binding for page in PAGES]),
            ("lists (tab goes to the next)", RowList.BINDINGS),
            ("overview, requests", FilteredScreen.BINDINGS),
            ("overview", OverviewScreen.BINDINGS),
            ("requests", RequestsScreen.BINDINGS),
            ("a request", (*RequestScreen.BINDINGS, *CallRows.BINDINGS)),
            ("the stack of a request or an endpoint", (*TreeScreen.BINDINGS, *StackRows.BINDINGS)),
            ("a list with columns", SortedRows.BINDINGS),
            ("the probes", ProbesScreen.BINDINGS),
            ("threads", ThreadsScreen.BINDINGS),
            ("memory", MemoryScreen.BINDINGS),
            ("flame graph", (*FlameScreen.BINDINGS, *FlameGraph.BINDINGS)),
            ("a page", Scrolled.BINDINGS),
        ]
        self.push_screen(help_sheet(groups))

    def action_legend(self) -> None:
        """Show what glyphs and letters mean."""
        self.push_screen(legend_sheet())

    def action_picture(self) -> None:
        """Save the screen as SVG in the current directory."""
        try:
            path = picture.save(self, Path.cwd())
        except PerfwatchError as error:
            self.notify(str(error), severity="error", markup=False)
        else:
            self.notify(f"saved {path}", markup=False)
