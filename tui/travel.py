"""The keys of time: what they ask of the source, and what of that the screens are told.

A step to something (a sample, a slow request) pauses: one wants to look at it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from textual import on, work
from textual.worker import get_current_worker

from perfwatch.agent import saving
from perfwatch.agent.bookmarks import Bookmarks, full
from perfwatch.agent.comparing import compare, viewed
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.playing import Window
from perfwatch.tui.format import clock
from perfwatch.tui.habits import Habits, HabitualApp
from perfwatch.tui.messages import Frame, SeekWanted, WindowWanted
from perfwatch.tui.screens.asking import AskScreen, jump
from perfwatch.tui.screens.base import FrameScreen
from perfwatch.tui.screens.bookmarks import BookmarksScreen
from perfwatch.tui.screens.comparison import comparison_sheet

if TYPE_CHECKING:
    from perfwatch.agent.bookmarks import Bookmark
    from perfwatch.agent.comparing import Comparison
    from perfwatch.agent.source import Position, Source

_SECOND_NS: Final = 1_000_000_000
END_NS: Final = 1 << 62
"""A moment after all others."""
_AT_THE_END: Final = ("live", "following")
"""What goes on there, as more comes."""
SPEEDS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
SAVED_NAME: Final = "perfwatch-%Y%m%d-%H%M%S.perfwatch"


class Traveller(HabitualApp):
    """An application whose screens all show the same moment, or the same window, of one source."""

    def __init__(self, habits: Habits = Habits()) -> None:  # noqa: B008 - it is frozen
        super().__init__(habits)
        self._source: Source | None = None
        self.frame: Frame | None = None
        self._speed: float | None = None
        self._goal_ns: int | None = None
        self._selecting_ns: int | None = None
        self._left: Position | None = None
        """Where the view stood before a window was selected."""
        self._kept_window: Window | None = None
        self._bookmarks = Bookmarks(None)

    def set_out(self, source: Source) -> None:
        """Begin with a source: what was set on the one before is forgotten."""
        self._source, self._speed, self._goal_ns, self._selecting_ns = source, None, None, None
        self._left = self._kept_window = None
        try:
            self._bookmarks = Bookmarks(source.path)
        except PerfwatchError as error:
            self._bookmarks = Bookmarks(None)
            self.complain(error)
        for bookmark in self._bookmarks.all:
            source.marks.add("bookmark", bookmark.at_ns)

    def stamped(self, frame: Frame) -> Frame:
        """Return a frame with what is being selected."""
        if frame.position.behind is False and frame.position.label == "live":
            self._speed = None
        return msgspec.structs.replace(frame, selecting_ns=self._selecting_ns)

    def arrived(self, screen: FrameScreen) -> None:
        """Let a screen point at what somebody went to, once the view is there."""
        if self._goal_ns is None or self.frame is None:
            return
        if self.frame.position.now_ns == self._goal_ns:
            goal_ns, self._goal_ns = self._goal_ns, None
            screen.show_moment(goal_ns)

    # The moment

    def action_pause(self) -> None:
        """Hold the stream, or let it go on."""
        if self._source is not None and self.frame is not None:
            self._source.pause(paused=not self.frame.position.paused)

    def action_seek(self, seconds: int) -> None:
        """Go so many seconds on, or back."""
        if self.frame is not None:
            self._seek(self.frame.position.now_ns + seconds * _SECOND_NS)

    def action_edge(self) -> None:
        """Go to the newest end: live again, or the end of a recording."""
        self._seek(END_NS)

    def action_sample(self, step: int) -> None:
        """Go to the reading after this one, or before."""
        if self._source is not None and self._can_move():
            self._source.pause(paused=True)
            self._source.step(step)

    def action_slow(self, step: int) -> None:
        """Go to the slow request after this one, or before."""
        if self._source is None or self.frame is None or not self._can_move():
            return
        here_ns = self._here_ns(self.frame)
        marks = self._source.marks
        goal_ns = marks.after("slow", here_ns) if step > 0 else marks.before("slow", here_ns)
        if goal_ns is None or not self.frame.position.first_ns <= goal_ns <= self.frame.position.last_ns:
            self.notify("no slow request there yet", markup=False)
            return
        self._source.pause(paused=True)
        self._seek(goal_ns)
        self._goal_ns = goal_ns

    def _here_ns(self, frame: Frame) -> int:
        if self._goal_ns is not None:  # on the way: keys come faster than pictures
            return self._goal_ns
        shown_ns = self.screen.moment_ns if isinstance(self.screen, FrameScreen) else None
        return frame.position.now_ns if shown_ns is None else shown_ns

    @on(SeekWanted)
    def _seek_wanted(self, message: SeekWanted) -> None:
        self._seek(message.at_ns)

    def _seek(self, at_ns: int | None) -> None:
        if self._source is None or self.frame is None or at_ns is None or not self._can_move():
            return
        self._goal_ns = None
        is_end = at_ns >= self.frame.position.last_ns  # which has moved on since that picture
        self._source.seek(END_NS if is_end else at_ns)

    def _can_move(self) -> bool:
        if self.frame is None:
            return False
        if not self.frame.position.seekable:
            self.notify("this stream cannot be moved in", markup=False)
        return self.frame.position.seekable

    def action_speed(self, step: int) -> None:
        """Play slower or faster."""
        if self._source is None or self.frame is None or not self.frame.position.seekable:
            return
        now = self.frame.position.speed if self._speed is None else self._speed
        further = [speed for speed in SPEEDS if (speed - now) * step > 0]
        self._speed = min(further, key=lambda speed: abs(speed - now), default=now)
        self._source.set_speed(self._speed)

    def action_jump(self) -> None:
        """Ask for a moment, and go there."""
        if self.frame is not None:
            self.push_screen(jump(self.frame.position, self.frame.info), self._seek)

    # A window

    def action_window(self) -> None:
        """Begin a window here, or end it here; where one is shown, leave it."""
        if self.frame is None or not self._can_move():
            return
        here_ns = self.frame.position.now_ns
        if self.frame.position.window is not None:
            self.leave_window()
        elif self._selecting_ns is None:
            self._selecting_ns = here_ns
            self.notify(f"window from {self._clock(here_ns)}: go to its end, and press v again", markup=False)
        else:
            begin_ns, self._selecting_ns = self._selecting_ns, None
            self._select(begin_ns, here_ns)

    @on(WindowWanted)
    def _window_wanted(self, message: WindowWanted) -> None:
        if self._can_move():
            self._selecting_ns = None
            self._select(message.begin_ns, message.end_ns)

    def leave_window(self) -> bool:
        """Go back to where the view stood before it, or select none; tells whether there was one."""
        if self._selecting_ns is not None:
            self._selecting_ns = None
            self.notify("no window", markup=False)
            return True
        if self._source is None or self.frame is None or self.frame.position.window is None:
            return False
        left, self._left = self._left or self.frame.position, None
        self._seek(END_NS if left.label in _AT_THE_END else left.now_ns)
        self._source.pause(paused=left.paused)
        return True

    def _select(self, begin_ns: int, end_ns: int) -> None:
        if begin_ns == end_ns:
            self.notify("that window is empty", markup=False)
        elif self._source is not None and self.frame is not None:
            if self.frame.position.window is None:
                self._left = self.frame.position
            self._source.select(Window(min(begin_ns, end_ns), max(begin_ns, end_ns)))

    def action_compare(self) -> None:
        """Hold the window against the one that is kept, or the stretch of the same length before it."""
        window = None if self.frame is None else self.frame.position.window
        if self._source is None or self.frame is None or window is None:
            self.notify("select a window first: v at its begin, v at its end", markup=False)
            return
        before = self._kept_window
        if before is None or before == window:
            begin_ns = max(self.frame.position.first_ns, 2 * window.begin_ns - window.end_ns)
            before = Window(begin_ns, window.begin_ns - 1)
        self._compare(self._source, before, window)

    def action_keep_window(self) -> None:
        """Keep the window as what another one is compared with; without a window, forget it."""
        self._kept_window = None if self.frame is None else self.frame.position.window
        kept = "no window is kept" if self._kept_window is None else "kept: select another window and press x"
        self.notify(kept, markup=False)

    @work(thread=True, group="compare", exclusive=True)
    def _compare(self, source: Source, before: Window, after: Window) -> None:
        comparison = compare(*(viewed(source, window) for window in (before, after)))
        if not get_current_worker().is_cancelled:
            self.call_from_thread(self._tell_comparison, comparison, before, after)

    def _tell_comparison(self, comparison: Comparison, before: Window, after: Window) -> None:
        first, second = (f"{self._clock(begin_ns)}-{self._clock(end_ns)}" for begin_ns, end_ns in (before, after))
        self.push_screen(comparison_sheet(comparison, (first, second)))

    # Bookmarks

    def action_bookmark(self) -> None:
        """Ask for a note, and keep this moment with it."""
        if self._bookmarks.is_full:
            self.complain(full())
        elif self.frame is not None:
            at_ns = self.frame.position.now_ns
            title = f"bookmark at {self._clock(at_ns)}"
            asked = AskScreen(title, "a note", lambda text: (at_ns, text.strip()), "")
            self.push_screen(asked, self._set_bookmark)

    def _set_bookmark(self, told: tuple[int, str] | None) -> None:
        if told is None or self._source is None:
            return
        try:
            self._bookmarks.add(*told)
        except PerfwatchError as error:
            self.complain(error)
        if any(one.at_ns == told[0] for one in self._bookmarks.all):
            self._source.marks.add("bookmark", told[0])

    def action_bookmarks(self) -> None:
        """List the bookmarks; choose one to go there."""
        if self.frame is not None:
            self.push_screen(BookmarksScreen(self._bookmarks.all, self.frame.info, self._forget), self._seek)

    def _forget(self, bookmark: Bookmark) -> None:
        if self._source is not None:
            self._source.marks.remove("bookmark", bookmark.at_ns)
        try:
            self._bookmarks.remove(bookmark)
        except PerfwatchError as error:
            self.complain(error)

    # Saving

    def action_write(self) -> None:
        """Ask how much of the stream to save, and write it to a new session file."""
        if self.frame is not None:
            position = self.frame.position
            title = f"save what was seen until {self._clock(position.now_ns)}"
            unclear = f"not an amount of time; try {saving.EXAMPLES}"
            asked = AskScreen(title, saving.EXAMPLES, lambda text: saving.parse(text, position), unclear)
            self.push_screen(asked, self._save)

    def _save(self, window: Window | None) -> None:
        if window is not None and self._source is not None:
            path = Path.cwd() / time.strftime(SAVED_NAME)
            self._write(self._source, window, path, self._bookmarks.all)

    @work(thread=True, group="save")
    def _write(self, source: Source, window: Window, path: Path, marked: tuple[Bookmark, ...]) -> None:
        try:
            count = saving.save(source, window, path, marked)
        except PerfwatchError as error:
            self.call_from_thread(self.complain, error)
        else:
            saved = f"saved {count} records to {path}"
            self.call_from_thread(self.notify, saved, markup=False)

    def _clock(self, at_ns: int) -> str:
        return "" if self.frame is None else clock(self.frame.info.unix_s(at_ns))
