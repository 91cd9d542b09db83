"""What one thread did, as readings of it tell: stretches in which it slept, and intervals in which it also ran.

Between two readings with the same schedstat a thread has not run: it slept on in the state that was seen. Otherwise
schedstat says exactly how long it ran and how long it was runnable without a CPU; what is left of that interval it
slept, before it ran, after, or between.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.sampled.states import NOT_THERE, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.probes.sampled.states import State

MAX_INTERVALS: Final = 65_536
"""Of all threads together: the newest are kept, 300 bytes each."""
FEWEST_INTERVALS: Final = 128
"""Of one thread, however many others there are."""


class Interval(NamedTuple):
    """From one reading to the next, with the thread having run in between."""

    start_ns: int
    end_ns: int
    run_ns: int
    wait_ns: int
    """Runnable without a CPU."""
    before: State
    after: State

    @property
    def slept_ns(self) -> int:
        """What is left."""
        return self.end_ns - self.start_ns - self.run_ns - self.wait_ns


class Timeline:
    """One thread's past. Intervals are in order and do not overlap; between them it slept in `after`."""

    __slots__ = ("_ends", "_kept", "_locked", "ended_ns", "first", "forgotten_ns", "intervals", "state")

    def __init__(self, known_ns: int, state: State) -> None:
        self.first = self.state = state
        self.ended_ns: int | None = None
        self.forgotten_ns = known_ns
        """Before that nothing is known (any more)."""
        self.intervals: list[Interval] = []
        self._ends: list[int] = []  # of the intervals: bisected some thousand times a second
        self._locked: list[int] = []  # ends of those beside a wait for the interpreter lock
        self._kept = FEWEST_INTERVALS

    @property
    def asleep_since_ns(self) -> int:
        """When it was last seen to have run; of a thread that was never seen to: since when it is known."""
        return self.intervals[-1].end_ns if self.intervals else self.forgotten_ns

    def end(self, read_ns: int, at_ns: int) -> None:
        """Note that it has ended since the reading of `read_ns`; what it did after that is not known."""
        start_ns = max(read_ns, self.asleep_since_ns)
        self._append(Interval(start_ns, max(at_ns, start_ns), 0, 0, UNKNOWN, NOT_THERE))
        self.state, self.ended_ns = NOT_THERE, at_ns

    def keep(self, intervals: int) -> None:
        """Say how much of the past is to be kept."""
        self._kept = max(intervals, FEWEST_INTERVALS)

    def change(self, read_ns: int, at_ns: int, run_ns: int, wait_ns: int, state: State) -> None:
        """Add what a reading told: since the one of `read_ns` it ran, and waited for a CPU, for so long.

        A wait for a CPU is counted when it is over, so it may have begun before that reading. Time on a CPU is
        counted at the kernel's ticks, so a part of it may belong to the interval before.
        """
        start_ns = max(min(read_ns, at_ns - run_ns - wait_ns), self.asleep_since_ns)
        room_ns = at_ns - start_ns
        here_ns = min(run_ns, room_ns)
        waited_ns = min(wait_ns, room_ns - here_ns)
        if self.intervals and self.state.is_running:
            self._give_back(run_ns - here_ns, wait_ns - waited_ns, at_ns - run_ns - wait_ns)
        self._append(Interval(start_ns, at_ns, here_ns, waited_ns, self.state, state))
        self.state = state
        if len(self.intervals) >= 2 * self._kept:
            self.forgotten_ns = self.intervals[-self._kept].start_ns
            del self.intervals[: -self._kept]
            del self._ends[: -self._kept]
            self.first = self.intervals[0].before
            del self._locked[: bisect_left(self._locked, self._ends[0])]

    def _append(self, interval: Interval) -> None:
        self.intervals.append(interval)
        self._ends.append(interval.end_ns)
        if "gil" in (interval.before.bucket, interval.after.bucket):
            self._locked.append(interval.end_ns)

    def _give_back(self, run_ns: int, wait_ns: int, since_ns: int) -> None:
        """Book what was counted late: a run to the last interval, a wait to all since then with the thread runnable."""
        last = self.intervals[-1]
        self.intervals[-1] = last._replace(run_ns=last.run_ns + min(run_ns, last.slept_ns))
        for place in range(len(self.intervals) - 1, -1, -1):
            interval = self.intervals[place]
            here_ns = min(wait_ns, interval.slept_ns)
            self.intervals[place] = interval._replace(wait_ns=interval.wait_ns + here_ns)
            wait_ns -= here_ns
            if wait_ns <= 0 or interval.start_ns <= since_ns or not interval.before.is_running:
                break

    def place_of(self, at_ns: int) -> int:
        """Index of the first interval that ends at or after a moment."""
        return bisect_left(self._ends, at_ns)

    def ran_at(self, at_ns: int, slack_ns: int = 0) -> bool:
        """Whether it may have run at a moment: an interval holds it."""
        place = self.place_of(at_ns - slack_ns)
        return place < len(self.intervals) and self.intervals[place].start_ns <= at_ns + slack_ns

    def may_lock(self, start_ns: int, end_ns: int) -> bool:
        """Whether it was seen waiting for the interpreter lock between two moments, or just before or after."""
        place = bisect_right(self._locked, start_ns)
        return place < len(self._locked) and self.intervals[self.place_of(self._locked[place])].start_ns <= end_ns

    def asleep_at(self, at_ns: int) -> State | None:
        """Return the state in which it slept on at a moment; None if it may have run then, or is not known."""
        if at_ns < self.forgotten_ns or (self.ended_ns is not None and at_ns > self.ended_ns):
            return None
        place = self.place_of(at_ns)
        if place == len(self.intervals):
            return self.state
        interval = self.intervals[place]
        return None if interval.start_ns <= at_ns else self.seen_before(place)

    def seen_before(self, place: int) -> State:
        """Return the state that was seen last before an interval."""
        return self.intervals[place - 1].after if place else self.first

    def between(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, int, State | Interval]]:
        """Yield what lies between two moments, in order and cut to them: stretches of sleep, and intervals."""
        cursor_ns = max(start_ns, self.forgotten_ns)
        end_ns = end_ns if self.ended_ns is None else min(end_ns, self.ended_ns)
        place = self.place_of(cursor_ns)
        while cursor_ns < end_ns and place < len(self.intervals):
            interval = self.intervals[place]
            if interval.start_ns > cursor_ns:
                yield cursor_ns, min(interval.start_ns, end_ns), self.seen_before(place)
            if interval.start_ns < end_ns and interval.end_ns > cursor_ns:
                yield max(interval.start_ns, cursor_ns), min(interval.end_ns, end_ns), interval
            cursor_ns = max(interval.end_ns, cursor_ns)
            place += 1
        if cursor_ns < end_ns:
            yield cursor_ns, end_ns, self.state
