"""A recording as a source: it hands over the records of a session at the pace at which they came, or another."""

from __future__ import annotations

import threading
import time
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from perfwatch.agent.marks import Marks
from perfwatch.agent.playing import Player, Taken, Window
from perfwatch.agent.session.following import Following
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.source import Batch, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from perfwatch.agent.model import SessionInfo
    from perfwatch.probes.records import Record

_STEP_S: Final = 0.01
"""Where less time is left, no more marks are read."""


class Replay:
    """A `Source` over a session file. One thread pulls; the controls may be called from any other.

    Its time runs with `clock` (seconds, monotonic) from the first pull on, times the speed. A record is
    due when that time has reached its own; all keep their order of delivery. A seek forward makes what lies between due
    at once, as far as it is not more than one looks back; any other begins anew, with `restarted`, some time before
    that moment (see `playing`). Either may take several batches. At its end it says so with every batch, and can be
    sought still. One that is still being recorded goes on: what is committed comes, and at its end it follows the
    recorder.
    """

    def __init__(self, path: Path, *, speed: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = SessionReader(path)
        self.path: Path | None = path
        self.marks = Marks()
        self._index = self._reader.index(self.marks)
        self._tape = Following(self._reader, lambda: self._index.extend(self._reader.last_number))
        self._player = Player(self._tape, speed=speed, clock=clock)
        self._pulling = threading.Lock()  # held while the file is read
        self._is_closed = False
        self._now_ns = self._reader.first_ns

    @property
    def info(self) -> SessionInfo:
        """What was recorded."""
        return self._reader.info

    def pull(self, timeout_s: float) -> Batch:
        """Wait at most `timeout_s` until records are due; a control ends the wait at once."""
        with self._pulling:
            if self._is_closed:
                return self._batch(Taken((), self._now_ns, restarted=False, is_filling=False), ended="closed")
            self._await(timeout_s)
            self._tape.look()
            taken = self._player.take()
            self._now_ns = taken.now_ns
            return self._batch(taken, ended=self._ended())

    def pause(self, *, paused: bool) -> None:
        """Stop or start the time of the replay."""
        self._player.pause(paused=paused)

    def seek(self, at_ns: int) -> None:
        """Go to a moment of the recording, clamped to it; a paused replay stays paused there."""
        self._player.seek(at_ns)

    def select(self, window: Window) -> None:
        """Show one stretch of the recording until a seek."""
        self._player.select(window)

    def step(self, step: int) -> None:
        """Go to the next reading, or the one before."""
        self._player.step(step)

    def set_speed(self, factor: float) -> None:
        """Let its time run faster or slower from now on, within `MIN_SPEED` and `MAX_SPEED`."""
        self._player.set_speed(factor)

    def cut(self, window: Window) -> Iterator[Record]:
        """Yield the records of a stretch, from the file opened once more."""
        if self.path is None:
            return
        with SessionReader(self.path) as reader:
            yield from takewhile(lambda record: record.at_ns <= window.end_ns, reader.records(window.begin_ns))

    def close(self) -> None:
        """Close the file, after the pull that is under way. May be called again."""
        self._is_closed = True
        self._player.touch()
        with self._pulling:
            self._reader.close()

    def read_marks(self, seconds_left: Callable[[], float]) -> None:
        """Read the marks of the recording further, while there is time."""
        while not self._index.is_done and seconds_left() > _STEP_S:
            self._index.step()

    def _await(self, timeout_s: float) -> None:
        """Wait until something is due, and read the marks meanwhile."""
        until_s = time.monotonic() + timeout_s
        self.read_marks(lambda: min(self._player.seconds_left(), until_s - time.monotonic()))
        self._player.wait(until_s - time.monotonic())

    def _ended(self) -> str | None:
        if not self._player.is_at_end or self._reader.is_live:
            return None
        reason = self._reader.ended
        return f"end of the recording: {reason}" if reason else "end of the recording, which was cut off"

    def _batch(self, taken: Taken, *, ended: str | None) -> Batch:
        player, reader = self._player, self._reader
        position = Position(
            "ended" if ended else self._label(),
            reader.last_ns if ended else taken.now_ns,
            reader.first_ns,
            reader.last_ns,
            paused=player.is_paused,
            seekable=True,
            note="; ".join(filter(None, (player.note, reader.note))) or None,
            speed=player.speed,
            since_ns=player.since_ns,
            window=player.window,
        )
        return Batch(taken.records, position, restarted=taken.restarted, ended=ended, is_filling=taken.is_filling)

    def _label(self) -> str:
        if self._player.window is not None:
            return "window"
        if self._reader.is_live and self._player.is_at_end and not self._player.is_paused:
            return "following"
        return "paused" if self._player.is_paused else f"replay {self._player.speed:g}x"
