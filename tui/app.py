"""The application: wires a source to the screens."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import on, work
from textual.binding import Binding, BindingType
from textual.worker import get_current_worker

from perfwatch.agent.errors import PerfwatchError
from perfwatch.tui.feed import Feed, JudgeFactory, new_correlator
from perfwatch.tui.habits import Habits
from perfwatch.tui.keeping import Keeper
from perfwatch.tui.messages import (
    Attached,
    AttachFailed,
    CandidateChosen,
    ChoicesMade,
    DoctorWanted,
    FrameReady,
)
from perfwatch.tui.pages import OVERVIEW
from perfwatch.tui.screens.base import DetailScreen, FrameScreen
from perfwatch.tui.screens.calls import CallsScreen
from perfwatch.tui.screens.disk import DiskScreen
from perfwatch.tui.screens.endpoint import EndpointScreen
from perfwatch.tui.screens.filtered import FilteredScreen
from perfwatch.tui.screens.flame import FlameScreen
from perfwatch.tui.screens.host import HostScreen
from perfwatch.tui.screens.memory import MemoryScreen
from perfwatch.tui.screens.overview import OverviewScreen
from perfwatch.tui.screens.picker import PickerScreen
from perfwatch.tui.screens.probes import ProbesScreen
from perfwatch.tui.screens.request import RequestScreen
from perfwatch.tui.screens.requests import RequestsScreen
from perfwatch.tui.screens.sockets import SocketsScreen
from perfwatch.tui.screens.threads import ThreadsScreen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from perfwatch.agent.doctor import Diagnosis
    from perfwatch.agent.source import Source
    from perfwatch.agent.target import Candidate

_JOIN_S: Final = 2.0
SCREENS: Final[dict[str, type[FrameScreen]]] = {
    "requests": RequestsScreen,
    "threads": ThreadsScreen,
    "sockets": SocketsScreen,
    "memory": MemoryScreen,
    "disk": DiskScreen,
    "calls": CallsScreen,
    "flame": FlameScreen,
    "host": HostScreen,
    "probes": ProbesScreen,
}
"""Of each page but the overview, which always lies below."""
_STYLES: Final = (Path(__file__).parent / "screens").glob("*.tcss")
STYLES: Final[list[str | PurePath]] = [*sorted(_STYLES, key=lambda path: (path.name != "common.tcss", path.name))]
"""Of all screens, what they share first: for a style sheet that comes later, Textual reads all again, for 25 ms."""


class PerfwatchApp(Keeper):
    """Shows one source; without one, lets somebody pick a process first. It closes the source that it shows."""

    TITLE = "perfwatch"
    KEYS_OF = "the process that is watched"
    CSS_PATH = STYLES
    PAGE_KINDS = SCREENS
    DETAIL_KINDS: ClassVar[Mapping[type[DetailScreen[Any]], Any]] = {EndpointScreen: "", RequestScreen: -1}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "attach_other", "attach to another process", show=False),
        Binding("D", "detach", "detach, and choose a process", show=False),
    ]

    def __init__(  # noqa: PLR0913 - one for each thing that the screens cannot do themselves
        self,
        source: Source | None,
        *,
        attach: Callable[[int], Source] | None = None,
        candidates: Callable[[], Sequence[Candidate]] | None = None,
        diagnose: Callable[[int], Diagnosis] | None = None,
        judge_factory: JudgeFactory = new_correlator,
        habits: Habits = Habits(),  # noqa: B008 - it is frozen
    ) -> None:
        """`attach`, `candidates` and `diagnose` are called in threads; all may raise PerfwatchError."""
        super().__init__(habits)
        self._source, self._diagnose = source, diagnose
        self._attach_pid, self._candidates, self._judge_factory = attach, candidates, judge_factory
        self._feed: Feed | None = None
        self._first_page: str | None = habits.kept.page
        self._last_page: str | None = None

    def on_mount(self) -> None:
        """Open the first screen."""
        if self._source is not None:
            self._watch(self._source)
        else:
            self._pick()

    def on_unmount(self) -> None:
        """End the feed and the source."""
        self.keep(self._last_page)
        feed, source = self._feed, self._source
        if feed is not None:
            feed.stop()
        if source is not None:
            source.close()
        if feed is not None and feed.is_alive():
            feed.join(_JOIN_S)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """Offer other processes only where one can attach to them, and is attached."""
        if action in {"detach", "attach_other"}:
            return self._attach_pid is not None and self._source is not None and isinstance(self.screen, FrameScreen)
        return True

    # Frames

    def _watch(self, source: Source) -> None:
        """Show a source from now on; another one before it ends."""
        self._let_go()
        self.set_out(source)
        self.push_screen(OverviewScreen())
        if self._first_page in self.PAGE_KINDS:
            self.call_later(self.action_page, self._first_page)
        self._first_page = None
        self._feed = Feed(source, lambda frame: self.post_message(FrameReady(frame, source)), self._judge_factory)
        self.call_after_refresh(self._start, self._feed)  # loading the correlator would delay the first paint

    def _start(self, feed: Feed) -> None:
        if feed is self._feed:
            feed.start()

    def _let_go(self) -> None:
        """End what was shown, away from the screen's thread: a collector may take seconds to leave."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self.drop_screens()
        if self._feed is not None:
            self._feed.stop()
            if self._source is not None:
                self._close(self._source, self._feed)
        self._feed = self._source = self.frame = self._speed = None

    @work(thread=True, group="close")
    def _close(self, source: Source, feed: Feed) -> None:
        source.close()
        if feed.is_alive():
            feed.join(_JOIN_S)

    @on(FrameReady)
    def _frame_ready(self, message: FrameReady) -> None:
        if message.source is not self._source:
            return  # of one that was let go meanwhile
        self.frame = self.stamped(message.frame)
        if self.is_running:  # else its screens are being taken apart
            self._deliver()
            self.make_ahead()

    def _deliver(self) -> None:
        """Hand the frame to what can be seen: the top screen, and those that shine through."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, FrameScreen):
                if isinstance(screen, FilteredScreen):
                    screen.choices = self.choices
                screen.frame = self.frame
                self._last_page = screen.page_shown
                self.arrived(screen)
                return

    @on(ChoicesMade)
    def _choices_made(self, message: ChoicesMade) -> None:
        self.choices = message.choices
        self._deliver()

    def action_leave(self) -> None:
        """Close what lies over a page; of a page first leave the window, if one is selected, then the page."""
        screen = self.screen
        if isinstance(screen, FrameScreen) and screen.page is not None and self.leave_window():
            return
        if isinstance(screen, FrameScreen) and not isinstance(screen, OverviewScreen):
            self.pop_screen()
            self._deliver()

    async def action_page(self, name: str) -> None:
        """Show a page in place of what lies over the overview; from that page, go back."""
        was_there = name != OVERVIEW and isinstance(self.screen, self.PAGE_KINDS[name])
        with self.batch_update():  # one paint, of the page when it is whole
            while isinstance(self.screen, FrameScreen) and not isinstance(self.screen, OverviewScreen):
                self.pop_screen()
            if name != OVERVIEW and not was_there:
                await self.push_screen(self.page_of(name))
            self._deliver()

    # Attaching

    def _pick(self, *, watched: str | None = None) -> None:
        self.push_screen(PickerScreen(self._candidates or tuple, watched))

    def action_attach_other(self) -> None:
        """Choose another process; the one that is watched is let go when the other is attached to."""
        info = None if self._source is None else self._source.info
        self._pick(watched=None if info is None else f"{info.pid} {info.command}")

    def action_detach(self) -> None:
        """Let the process go, and choose another one."""
        self._let_go()
        self._pick()

    @on(CandidateChosen)
    def _candidate_chosen(self, message: CandidateChosen) -> None:
        if self._attach_pid is None:
            self.post_message(AttachFailed("this session cannot attach"))
            return
        if (picker := self._picker()) is not None:
            picker.busy = message.candidate.pid
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
        if (picker := self._picker()) is not None:
            picker.busy, picker.problem = None, message.problem

    def _picker(self) -> PickerScreen | None:
        return next((screen for screen in self.screen_stack if isinstance(screen, PickerScreen)), None)

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
