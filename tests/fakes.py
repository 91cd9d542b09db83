"""A source without a kernel or a file: it plays the records it is given, by default none.

The records come from `fake_records`; its names are at hand here too.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from fake_records import LISTENER, MS, PID, SECOND, START_NS, generate, session_info

from perfwatch.agent.marks import Marks
from perfwatch.agent.source import Batch, Position

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from perfwatch.agent.errors import PerfwatchError
    from perfwatch.agent.model import Record, SessionInfo
    from perfwatch.agent.playing import Window

__all__ = ["LISTENER", "MS", "PID", "SECOND", "START_NS", "FakeSource", "generate", "session_info"]


class FakeSource:
    """A source whose stream is played by its test: every pull hands over the next `step_s` seconds.

    What was asked of it is kept in `calls`; `fail` makes the next pull raise; `ended` comes after the last.
    """

    def __init__(
        self,
        records: Sequence[Record] = (),
        *,
        info: SessionInfo | None = None,
        step_s: float = 3600.0,
        label: str = "live",
        seekable: bool = True,
        note: str | None = None,
        ended: str | None = None,
    ) -> None:
        self.info = info or session_info()
        self.path: Path | None = None
        self.marks = Marks()
        self.calls: list[tuple[str, object]] = []
        self.fail: PerfwatchError | None = None
        self.closed = False
        self._records = tuple(records)
        self._step_ns = int(step_s * SECOND)
        self._label, self._seekable, self._note, self._ended = label, seekable, note, ended
        self._next = 0
        self._now = self._first = records[0].at_ns if records else START_NS
        self._paused = False
        self._seek_to: int | None = None
        self._seeking = threading.Lock()
        self._wake = threading.Event()

    def pull(self, timeout_s: float) -> Batch:
        if self.fail is not None:
            raise self.fail
        with self._seeking:
            goal, self._seek_to = self._seek_to, None
        if goal is not None:
            self._now, self._next = self._first, 0
        elif self._paused or self._next >= len(self._records):
            self._wake.wait(timeout_s)
        self._wake.clear()
        held = self._paused and goal is None
        taken = () if held else self._advance(self._now + self._step_ns if goal is None else goal)
        done = self._next >= len(self._records)
        return Batch(taken, self._position(), goal is not None, self._ended if done else None)

    def _advance(self, until: int) -> tuple[Record, ...]:
        begin = self._next
        while self._next < len(self._records) and self._records[self._next].at_ns <= until:
            self._next += 1
        taken = self._records[begin : self._next]
        if taken:
            self._now = taken[-1].at_ns
        elif self._next < len(self._records):
            self._now = until
        return taken

    def _position(self) -> Position:
        last = self._records[-1].at_ns if self._records else self._first
        label = "paused" if self._paused else self._label
        return Position(label, self._now, self._first, last, self._paused, self._seekable, self._note)

    def pause(self, *, paused: bool) -> None:
        self.calls.append(("pause", paused))
        self._paused = paused
        self._wake.set()

    def seek(self, at_ns: int) -> None:
        self.calls.append(("seek", at_ns))
        if self._seekable:
            with self._seeking:
                self._seek_to = at_ns
            self._wake.set()

    def select(self, window: Window) -> None:
        self.calls.append(("select", window))

    def step(self, step: int) -> None:
        self.calls.append(("step", step))

    def cut(self, window: Window) -> Iterator[Record]:
        return (record for record in self._records if window.begin_ns <= record.at_ns <= window.end_ns)

    def set_speed(self, factor: float) -> None:
        self.calls.append(("speed", factor))
        self._label = f"replay {factor:g}x"
        self._wake.set()

    def close(self) -> None:
        self.closed = True
        self._wake.set()
