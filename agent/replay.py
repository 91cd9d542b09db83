"""A recording as a source: it hands over the records of a session at the pace at which they came, or another."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.source import Batch, Position

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from perfwatch.agent.model import SessionInfo
    from perfwatch.probes.records import Record

MAX_BATCH: Final = 20_000
"""Records in one batch; what is due beyond it comes with the next pulls, which then do not wait."""
MIN_SPEED: Final = 0.01
MAX_SPEED: Final = 10_000.0
_GATHER_S: Final = 0.02
"""What a pull waits at least, where it may, so that records do not come in batches of one."""


class Replay:
    """A `Source` over a session file. One thread pulls; the controls may be called from any other.

    Its time runs with `clock` (seconds, monotonic) from the first pull on, times the speed. A record is
    due when that time has reached its own; all keep their order of delivery. A seek forward makes what
    lies between due at once; a seek backward starts again at the first record, with `restarted`, up to
    that moment: a correlator has to see all of it. Either may take several batches (`MAX_BATCH`). At its
    end it says so with every batch, and can be sought still.
    """

    def __init__(self, path: Path, *, speed: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = SessionReader(path)
        self._clock = clock
        self._stream = _Stream(self._reader)
        self._pulling = threading.Lock()  # held while the file is read
        self._controls = threading.Condition()  # guards all below
        self._head = _Playhead(self._reader.first_ns, self._reader.last_ns, speed)
        self._is_touched = True
        self._is_rewound = False
        self._is_closed = False
        self._delivered_ns = self._reader.first_ns

    @property
    def info(self) -> SessionInfo:
        """What was recorded."""
        return self._reader.info

    def pull(self, timeout_s: float) -> Batch:
        """Wait at most `timeout_s` until records are due; a control ends the wait at once."""
        with self._pulling:
            if self._is_closed:
                return self._batch((), self._delivered_ns, ended="closed")
            self._await(timeout_s)
            with self._controls:
                now_ns = self._delivered_ns = self._head.now_ns(self._clock())
                restarted, self._is_rewound = self._is_rewound, False
                self._is_touched = False
            if restarted:
                self._stream = _Stream(self._reader)
            records = self._stream.take(now_ns, is_end=now_ns >= self._reader.last_ns)
            if len(records) == MAX_BATCH:
                self._touch()
            return self._batch(records, now_ns, restarted=restarted, ended=self._ended())

    def pause(self, *, paused: bool) -> None:
        """Stop or start the time of the replay."""
        with self._controls:
            self._head.pause(self._clock(), paused=paused)
        self._touch()

    def seek(self, at_ns: int) -> None:
        """Go to a moment of the recording, clamped to it; a paused replay stays paused there."""
        with self._controls:
            self._head.seek(self._clock(), at_ns)
            self._is_rewound |= self._head.now_ns(self._clock()) < self._delivered_ns
        self._touch()

    def set_speed(self, factor: float) -> None:
        """Let its time run faster or slower from now on, within `MIN_SPEED` and `MAX_SPEED`."""
        with self._controls:
            self._head.set_speed(self._clock(), factor)
        self._touch()

    def close(self) -> None:
        """Close the file, after the pull that is under way. May be called again."""
        with self._controls:
            self._is_closed = True
        self._touch()
        with self._pulling:
            self._reader.close()

    def _touch(self) -> None:
        """Let the pull that waits, or the next one, return at once."""
        with self._controls:
            self._is_touched = True
            self._controls.notify_all()

    def _await(self, timeout_s: float) -> None:
        """Wait until the next record is due, a control was touched, or the time is over."""
        next_ns = self._stream.next_ns
        with self._controls:
            now_s = self._clock()
            self._head.start(now_s)
            wait_s = max(_GATHER_S, self._head.seconds_until(now_s, next_ns))
            self._controls.wait_for(lambda: self._is_touched, max(0.0, min(timeout_s, wait_s)))

    def _ended(self) -> str | None:
        if self._stream.next_ns is not None:
            return None
        reason = self._reader.ended
        return f"end of the recording: {reason}" if reason else "end of the recording, which was cut off"

    def _batch(self, records: tuple[Record, ...], now_ns: int, *, restarted: bool = False, ended: str | None) -> Batch:
        first_ns, last_ns = self._reader.first_ns, self._reader.last_ns
        label = "ended" if ended else self._head.label
        position = Position(
            label,
            last_ns if ended else now_ns,
            first_ns,
            last_ns,
            paused=self._head.is_paused,
            seekable=True,
            note=self._reader.note,
            speed=self._head.speed,
        )
        return Batch(records, position, restarted=restarted, ended=ended)


class _Stream:
    """The records of a session from its start, one ahead."""

    def __init__(self, reader: SessionReader) -> None:
        self._records = reader.records()
        self._next = next(self._records, None)

    @property
    def next_ns(self) -> int | None:
        """When the next record is due; None at the end."""
        return self._next.at_ns if self._next else None

    def take(self, now_ns: int, *, is_end: bool) -> tuple[Record, ...]:
        """Return the records that are due, at most `MAX_BATCH`; at the end all are, whatever their time."""
        taken: list[Record] = []
        while self._next and len(taken) < MAX_BATCH and (is_end or self._next.at_ns <= now_ns):
            taken.append(self._next)
            self._next = next(self._records, None)
        return tuple(taken)


class _Playhead:
    """The time of a replay, as a function of a clock; it stands still until `start`, and in a pause."""

    def __init__(self, first_ns: int, last_ns: int, speed: float) -> None:
        self._first_ns, self._last_ns = first_ns, last_ns
        self._at_ns = first_ns
        self._at_s: float | None = None
        self.speed = min(max(speed, MIN_SPEED), MAX_SPEED)
        self.is_paused = False

    @property
    def label(self) -> str:
        """`paused`, `replay 4x`."""
        return "paused" if self.is_paused else f"replay {self.speed:g}x"

    def now_ns(self, clock_s: float) -> int:
        """Return the time of the recording, at most its end."""
        if self.is_paused or self._at_s is None:
            return self._at_ns
        return min(self._last_ns, self._at_ns + round((clock_s - self._at_s) * self.speed * 1e9))

    def seconds_until(self, clock_s: float, at_ns: int | None) -> float:
        """Return how long it takes to reach a moment; infinite if it is None, or in a pause."""
        if at_ns is None or self.is_paused:
            return float("inf")
        return (at_ns - self.now_ns(clock_s)) / self.speed / 1e9

    def start(self, clock_s: float) -> None:
        """Let the time run, unless it does already."""
        if self._at_s is None:
            self._at_s = clock_s

    def pause(self, clock_s: float, *, paused: bool) -> None:
        """Hold the time where it is, or let it run on from there."""
        self._settle(clock_s, self.now_ns(clock_s))
        self.is_paused = paused

    def seek(self, clock_s: float, at_ns: int) -> None:
        """Put the time to a moment of the recording."""
        self._settle(clock_s, min(max(at_ns, self._first_ns), self._last_ns))

    def set_speed(self, clock_s: float, factor: float) -> None:
        """Let the time run at another speed from here on."""
        self._settle(clock_s, self.now_ns(clock_s))
        self.speed = min(max(factor, MIN_SPEED), MAX_SPEED)

    def _settle(self, clock_s: float, now_ns: int) -> None:
        self._at_ns = now_ns
        if self._at_s is not None:
            self._at_s = clock_s
