"""The thread between a source and the screens: it pulls, has the records judged, and posts frames.

It never touches a widget. Frames that the stream causes come at most four times a second, and only when
something is new; what a person caused (pause, speed, seek) is posted at once.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.source import Position
from perfwatch.tui.messages import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.agent.marks import Marks
    from perfwatch.agent.model import Record, Request, SessionInfo, View
    from perfwatch.agent.source import Batch, Source

FRAME_INTERVAL_S: Final = 0.25
_ENDED_WAIT_S: Final = 0.05


class Judge(Protocol):
    """What the feed needs of a correlator."""

    def feed(self, record: Record) -> tuple[Request, ...]:
        """Take one record; return what was judged because of it."""
        ...

    def view(self, *, glance: bool = False) -> View:
        """Return the state to show; for a `glance` what costs much may be some seconds old."""
        ...


class JudgeFactory(Protocol):
    """Makes one for a session; `whole`: for a window of it."""

    def __call__(self, info: SessionInfo, /, *, whole: bool = False) -> Judge:
        """Return it."""
        ...


def new_correlator(info: SessionInfo, /, *, whole: bool = False) -> Judge:
    """Return the correlator; imported late, so that the first screen need not wait for it."""
    from perfwatch.agent.correlator.engine import Correlator  # noqa: PLC0415

    return Correlator(info, whole=whole)


class Feed(threading.Thread):
    """Pulls from one source until it is told to stop, or the source breaks."""

    def __init__(
        self,
        source: Source,
        post: Callable[[Frame], object],
        judge_factory: JudgeFactory = new_correlator,
    ) -> None:
        """`post` is called from this thread, with a frame."""
        super().__init__(name="perfwatch-feed", daemon=True)
        self._source = source
        self._post = post
        self._judge_factory = judge_factory
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ask the thread to end; it does within one pull."""
        self._stopping.set()

    def run(self) -> None:
        """Pull and post until stopped; a failure becomes the last frame."""
        judges = _Judges(partial(self._judge_factory, self._source.info), self._source.marks)
        pace = _Pace()
        while not self._stopping.is_set():
            try:
                batch = self._source.pull(pace.left_s())
                judges.take(batch)
                view = judges.view(glance=_goes_on(batch)) if pace.due(batch) else None
            except PerfwatchError as error:
                self._fail(judges, pace, str(error))
                return
            except Exception as error:  # noqa: BLE001 - a thread that died in silence would look like a quiet target
                self._fail(judges, pace, f"perfwatch itself failed: {type(error).__name__}: {error}")
                return
            if view is not None:
                self._post(Frame(view, batch.position, self._source.info, batch.ended, marks=self._source.marks))
            if batch.ended is not None:
                self._stopping.wait(_ENDED_WAIT_S)

    def _fail(self, judges: _Judges, pace: _Pace, problem: str) -> None:
        position = _nowhere(self._source.info) if pace.position is None else pace.position
        self._post(Frame(judges.last(), position, self._source.info, error=problem, marks=self._source.marks))


class _Judges:
    """The correlator that has followed the stream, and the one of an earlier moment while the view stands there."""

    def __init__(self, new: partial[Judge], marks: Marks) -> None:
        self._new, self._marks = new, marks
        self._newest = new()
        self._earlier: Judge | None = None
        self._is_filling = False
        self._shown: View | None = None

    def take(self, batch: Batch) -> None:
        """Feed each with what is its own."""
        for record in batch.newest:
            self._marks.judged(self._newest.feed(record))
        if not batch.position.behind:
            self._earlier = None
            if batch.restarted:
                self._newest = self._made_for(batch)
        elif batch.restarted or self._earlier is None:
            self._earlier = self._made_for(batch)
        judge = self._earlier or self._newest
        for record in batch.records:
            self._marks.judged(judge.feed(record))

        self._is_filling = batch.is_filling

    def _made_for(self, batch: Batch) -> Judge:
        return self._new() if batch.position.window is None else self._new(whole=True)

    def view(self, *, glance: bool = False) -> View:
        """Return what to show: while a picture is not complete, the one before."""
        if self._shown is None or not self._is_filling:
            self._shown = (self._earlier or self._newest).view(glance=glance)
        return self._shown

    def last(self) -> View:
        """Say what can still be shown; where it was the view that failed, the one before, or an empty one."""
        try:
            return self.view()
        except Exception:  # noqa: BLE001 - it was told already
            return self._new().view() if self._shown is None else self._shown


def _goes_on(batch: Batch) -> bool:
    """Whether the next picture will come by itself; where it does not, this one is exact."""
    return batch.ended is None and not batch.position.paused


def _nowhere(info: SessionInfo) -> Position:
    """Return the position of a source that broke before it said one."""
    at = info.started_ns
    return Position("broken", at, at, at, paused=False, seekable=False)


class _Pace:
    """Decides which batches become frames."""

    def __init__(self) -> None:
        self.position: Position | None = None
        self._ended: str | None = None
        self._fresh = self._restarted = False
        self._next_s = 0.0

    def left_s(self) -> float:
        """How long the next pull may take."""
        if self._fresh or self.position is None:
            return max(0.0, self._next_s - time.monotonic())
        return FRAME_INTERVAL_S

    def due(self, batch: Batch) -> bool:
        """Tell whether to post a frame after this batch."""
        before, self.position = self.position, batch.position
        self._fresh |= bool(batch.records) or batch.position != before or batch.ended != self._ended
        self._ended = batch.ended
        self._restarted |= batch.restarted
        now = time.monotonic()
        is_told = before is None or batch.position.label != before.label
        if batch.is_filling:
            return is_told
        if not self._fresh or not (is_told or self._restarted or now >= self._next_s):
            return False
        self._fresh = self._restarted = False
        self._next_s = now + FRAME_INTERVAL_S
        return True
