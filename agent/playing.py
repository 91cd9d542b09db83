"""Plays a tape: what of it is due by a clock, from any moment on; a recording, or what a live view keeps.

After a jump a consumer starts anew, and gets what lay before the moment only as far as `QUICK` reaches: the first
picture is there at once. What `ENOUGH` reaches follows, unless somebody went elsewhere meanwhile.
"""

from __future__ import annotations

import threading
import time
from itertools import takewhile
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from perfwatch.probes.records import ServedRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from perfwatch.probes.records import Record

MAX_BATCH: Final = 500
"""Records in one batch; what is due beyond it comes with the next pulls, which then do not wait. About 40 ms."""
MAX_WINDOW: Final = 100_000
"""Records of a window that is looked at; one that has more is cut."""
MIN_SPEED: Final = 0.01
MAX_SPEED: Final = 10_000.0
GATHER_S: Final = 0.02
"""What a pull waits at least, where it may, so that records do not come in batches of one."""


_APART_NS: Final = 50_000_000
"""What is closer together was read together."""
_STEP_BACK_NS: Final = 2_000_000_000


class Reach(NamedTuple):
    """How far to look back: whichever bound is met first, by whole seconds."""

    ns: int
    records: int

    def begin(self, at_ns: int, spans: Iterable[tuple[int, int]]) -> int:
        """Return where to begin, of the seconds before a moment: (when it began, its records), the newest first."""
        begin_ns, records = at_ns, 0
        for first_ns, count in spans:
            if first_ns > at_ns:  # the moment is before it, or between two seconds
                continue
            records += count
            if begin_ns < at_ns and (records > self.records or at_ns - first_ns > self.ns):
                break
            begin_ns = min(begin_ns, first_ns)
        return begin_ns


QUICK: Final = Reach(60_000_000_000, 600)
ENOUGH: Final = Reach(300_000_000_000, 12_000)


class Tape(Protocol):
    """A stream that is kept, and can be read from any moment on."""

    @property
    def first_ns(self) -> int:
        """Earliest moment that can be gone to."""
        ...

    @property
    def last_ns(self) -> int:
        """Latest one."""
        ...

    def records(self, start_ns: int | None = None) -> Iterator[Record | None]:
        """Yield records in order of delivery, from a moment on; None where no more has come yet."""
        ...

    def begin(self, at_ns: int, reach: Reach) -> int:
        """Return where to begin, to know what lay within reach before a moment; the second of it always does."""
        ...


class Window(NamedTuple):
    """A stretch of the stream, both ends within it."""

    begin_ns: int
    end_ns: int


class Taken(NamedTuple):
    """What became due."""

    records: tuple[Record, ...]
    now_ns: int
    restarted: bool
    is_filling: bool
    """More is due already."""


class Player:
    """The controls may be called from any thread, all else from the one that pulls."""

    def __init__(
        self,
        tape: Tape,
        *,
        at_ns: int | None = None,
        speed: float = 1.0,
        paused: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without a moment it begins with the tape's first record, and knows all that follows."""
        self._tape, self._clock = tape, clock
        self._controls = threading.Condition()  # guards what follows, up to the stream
        self._head = Playhead(tape, tape.first_ns if at_ns is None else at_ns, speed, paused=paused)
        self._window: Window | None = None
        self._is_sought = self._is_new = at_ns is not None
        self._step = 0
        self._is_touched = True
        self._stream = _Stream(tape.records())
        self._delivered_ns = tape.first_ns
        self._is_shallow = self._is_filling = False
        self.since_ns: int | None = None
        """Nothing before it was handed over; None from the tape's beginning on."""
        self.note: str | None = None

    # The controls

    def pause(self, *, paused: bool) -> None:
        """Hold its time, or let it run."""
        with self._controls:
            self._head.pause(self._clock(), paused=paused)
        self.touch()

    def seek(self, at_ns: int) -> None:
        """Go to a moment, clamped to the tape, and leave a window."""
        with self._controls:
            self._window = None
            self._head.seek(self._clock(), at_ns)
            self._is_sought = True
        self.touch()

    def step(self, step: int) -> None:
        """Go to the reading after its moment, or the one before: what comes beyond one batch of the collector's."""
        with self._controls:
            self._step = step
        self.touch()

    def select(self, window: Window) -> None:
        """Show this stretch and nothing else, paused at its end, until a seek."""
        with self._controls:
            self._window = window
            self._head.seek(self._clock(), window.end_ns)
            self._head.pause(self._clock(), paused=True)
            self._is_sought = True
        self.touch()

    def set_speed(self, factor: float) -> None:
        """Let its time run faster or slower from now on."""
        with self._controls:
            self._head.set_speed(self._clock(), factor)
        self.touch()

    def touch(self) -> None:
        """Let the wait that is under way, or the next one, end at once."""
        with self._controls:
            self._is_touched = True
            self._controls.notify_all()

    # How it stands

    @property
    def window(self) -> Window | None:
        """What is selected."""
        return self._window

    @property
    def is_paused(self) -> bool:
        """Whether its time stands still."""
        return self._head.is_paused

    @property
    def speed(self) -> float:
        """How many of its seconds pass in one."""
        return self._head.speed

    @property
    def is_at_end(self) -> bool:
        """Whether all that the tape holds was handed over."""
        return self._window is None and self._stream.next_ns is None

    # Pulling

    def wait(self, timeout_s: float) -> None:
        """Wait until the next record is due, a control was touched, or the time is over."""
        with self._controls:
            wait_s = max(GATHER_S, self._seconds_left())
            self._controls.wait_for(lambda: self._is_touched, max(0.0, min(timeout_s, wait_s)))

    def seconds_left(self) -> float:
        """Return how long it is until more is due; 0 where a control was touched."""
        with self._controls:
            return 0.0 if self._is_touched else max(GATHER_S, self._seconds_left())

    def _seconds_left(self) -> float:
        now_s = self._clock()
        self._head.start(now_s)
        return self._head.seconds_until(now_s, None if self._window else self._stream.next_ns)

    def take(self) -> Taken:
        """Return what became due since."""
        if self._step:
            self.seek(self._stepped(self._head.now_ns(self._clock()), self._step))
        with self._controls:
            self._step = 0
            now_ns = self._head.now_ns(self._clock())
            is_sought, self._is_sought = self._is_sought, False
            window = self._window
            self._is_touched = False
        restarted = self._go(now_ns, window) if is_sought else self._reach_back(now_ns)
        self._delivered_ns = now_ns
        records = self._stream.take(now_ns, is_end=now_ns >= self._tape.last_ns)
        self._is_filling = len(records) == MAX_BATCH
        if window and self._stream.is_cut:
            self.note = f"the window is cut: it shows its first {MAX_WINDOW:,} records"
        if self._is_filling or self._is_shallow:
            self.touch()
        return Taken(records, now_ns, restarted, self._is_filling)

    def _stepped(self, now_ns: int, step: int) -> int:
        """Return the time of the next reading of anything but requests; of the one before, within some seconds."""
        begin_ns = now_ns + _APART_NS if step > 0 else now_ns - _STEP_BACK_NS
        kept = takewhile(lambda record: record is not None, self._tape.records(begin_ns))
        times = (record.at_ns for record in kept if record is not None and not isinstance(record, ServedRequest))
        if step > 0:
            return next(times, now_ns)
        return max(takewhile(lambda at_ns: at_ns <= now_ns - _APART_NS, times), default=begin_ns)

    def _go(self, now_ns: int, window: Window | None) -> bool:
        """Begin anew where a seek asks for it; tells whether it did."""
        if window is not None:
            self._begin(window.begin_ns, MAX_WINDOW)
            self.since_ns, self._is_new = window.begin_ns, True
            return True
        since_ns = self._tape.begin(now_ns, QUICK)
        if not self._is_new and since_ns <= self._delivered_ns <= now_ns:
            return False
        self._begin(since_ns)
        self._is_new, self._is_shallow = False, self.since_ns is not None
        return True

    def _reach_back(self, now_ns: int) -> bool:
        """Begin once more with all that is enough, when the quick look is complete."""
        if not self._is_shallow or self._is_filling:
            return False
        self._is_shallow = False
        since_ns = self._tape.begin(now_ns, ENOUGH)
        if self.since_ns is None or since_ns >= self.since_ns:
            return False
        self._begin(since_ns)
        return True

    def _begin(self, since_ns: int, limit: int | None = None) -> None:
        self._stream = _Stream(self._tape.records(since_ns), limit)
        self.since_ns = since_ns if since_ns > self._tape.first_ns else None
        self._is_shallow, self.note = False, None


class _Stream:
    """The records of a tape, one ahead; at most so many."""

    def __init__(self, records: Iterator[Record | None], limit: int | None = None) -> None:
        self._records = records
        self._left = limit
        self._next = next(self._records, None)

    @property
    def next_ns(self) -> int | None:
        """Time of the next record; None where there is none, or not yet."""
        if self._next is None:
            self._next = next(self._records, None)
        return None if self._next is None else self._next.at_ns

    @property
    def is_cut(self) -> bool:
        """Whether there was more than it may give."""
        return self._left == 0 and self.next_ns is not None

    def take(self, now_ns: int, *, is_end: bool) -> tuple[Record, ...]:
        """Return the records that are due, in their order: up to the first that is not, or all at the end."""
        taken: list[Record] = []
        most = MAX_BATCH if self._left is None else min(MAX_BATCH, self._left)
        while len(taken) < most and (next_ns := self.next_ns) is not None and (is_end or next_ns <= now_ns):
            taken.append(self._next)  # type: ignore[arg-type]
            self._next = None
        if self._left is not None:
            self._left -= len(taken)
        return tuple(taken)


class Playhead:
    """The time of a tape, as a function of a clock; it stands still until `start`, and in a pause."""

    def __init__(self, tape: Tape, at_ns: int, speed: float, *, paused: bool = False) -> None:
        self._tape = tape
        self._at_ns = at_ns
        self._at_s: float | None = None
        self.speed = min(max(speed, MIN_SPEED), MAX_SPEED)
        self.is_paused = paused

    def now_ns(self, clock_s: float) -> int:
        """Return its time, at most the tape's end."""
        if self.is_paused or self._at_s is None:
            return self._at_ns
        return min(self._tape.last_ns, self._at_ns + round((clock_s - self._at_s) * self.speed * 1e9))

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
        """Put the time to a moment of the tape."""
        self._settle(clock_s, min(max(at_ns, self._tape.first_ns), self._tape.last_ns))

    def set_speed(self, clock_s: float, factor: float) -> None:
        """Let the time run at another speed from here on."""
        self._settle(clock_s, self.now_ns(clock_s))
        self.speed = min(max(factor, MIN_SPEED), MAX_SPEED)

    def _settle(self, clock_s: float, now_ns: int) -> None:
        self._at_ns = now_ns
        if self._at_s is not None:
            self._at_s = clock_s
