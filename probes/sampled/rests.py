"""Where a thread waits for work, learned: the places in which it slept while no request could have been its.

A worker of a pool and a request that waits for a lock sleep in the same system call. They differ in place: how deep in
the program the call was made, and on which address. Whoever serves a request runs when its answer begins and, if the
client does not read it slowly, when it ends. So a sleep was rest if the thread ran at neither of these moments of any
request that spans it, from before it began to after it ended, and was not sending to a client. One such
sleep may have been a request that was older than the attaching; two make the place certain. The workers of a pool
rest on the same address: what one is known to rest on is rest for another as well, where it sleeps no shallower.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.sampled.pools import MAX_PLACES, Pool, Waiter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.probes.sampled.states import Place, State
    from perfwatch.probes.sampled.timeline import Timeline

SLEEPS: Final = 2
"""So many make a place one of rest."""
SHORTEST_NS: Final = 5_000_000
"""Of a sleep that is looked at."""
MAX_SPANS: Final = 256
PATIENCE_NS: Final = 10_000_000_000
"""A sleep that an open request may span is looked at when that has ended, or not at all."""
SLACK_NS: Final = 1_000_000
"""Between the clocks of packets and of readings."""
_LEAST_LOOKS: Final = 20
_BUSY: Final = 0.5


class Lasted(NamedTuple):
    """When a request came, and the moments at which its thread ran: when its answer began, and when it ended."""

    arrived_ns: int
    answered_ns: int
    ended_ns: int


class Spans:
    """When there were requests: those that ended lately, and those that are open."""

    def __init__(self) -> None:
        self._ended: deque[Lasted] = deque(maxlen=MAX_SPANS)
        self._open: list[int] = []
        self._known_ns = 0

    def add(self, ended: Iterable[Lasted], open_: Iterable[int]) -> None:
        """Take those that ended, and the arrivals of all that are open."""
        for request in ended:
            if len(self._ended) == MAX_SPANS:
                self._known_ns = max(self._known_ns, self._ended[0].ended_ns)
            self._ended.append(request)
        self._open = list(open_)

    def may_span(self, start_ns: int) -> bool:
        """Whether a request that is still open arrived before a moment: when it ends, more will be known."""
        return any(arrived_ns < start_ns for arrived_ns in self._open)

    def leave_out(self, timeline: Timeline, start_ns: int, end_ns: int) -> bool:
        """Whether no request that a thread could have answered spans this time; False also where that is not known."""
        if end_ns <= self._known_ns or self.may_span(start_ns):
            return False
        return not any(
            request.arrived_ns < start_ns
            and request.ended_ns > end_ns
            and (timeline.ran_at(request.ended_ns, SLACK_NS) or timeline.ran_at(request.answered_ns, SLACK_NS))
            for request in reversed(self._ended)
        )


class Rests:
    """The places of rest of one thread, and whether it is busy also without any request."""

    __slots__ = ("_busy", "_learned_ns", "_looks", "_places", "_pool", "_told_ns", "_waiter")

    def __init__(self, pool: Pool) -> None:
        """`pool` is that of all threads of the process."""
        self._pool = pool
        self._waiter = Waiter()
        self._places: dict[Place, int] = {}
        self._learned_ns = 0
        self._told_ns = 0  # when the present sleep began, if it was counted already
        self._looks = self._busy = 0

    def see(self, state: State) -> None:
        """Take note of a state that it was seen in."""
        self._pool.see(self._waiter, state)

    def learn(self, timeline: Timeline, spans: Spans, now_ns: int) -> None:
        """Look at its sleeps since the last call, also at the one that it was in at `now_ns`."""
        place = timeline.place_of(self._learned_ns + 1)
        for interval in timeline.intervals[place:]:
            if interval.end_ns > now_ns or (
                spans.may_span(self._learned_ns) and interval.end_ns > now_ns - PATIENCE_NS
            ):
                return
            self._sleep(timeline, timeline.seen_before(place), (self._learned_ns, interval.start_ns), spans)
            self._learned_ns = interval.end_ns
            self._told_ns = 0
            place += 1
        since_ns = timeline.asleep_since_ns
        if self._told_ns != since_ns and self._sleep(timeline, timeline.state, (since_ns, now_ns), spans):
            self._told_ns = since_ns

    def _sleep(self, timeline: Timeline, state: State, sleep: tuple[int, int], spans: Spans) -> bool:
        """Count a sleep if it was rest; returns whether it was."""
        start_ns, end_ns = sleep
        if state.place is None or state.bucket in ("gil", "send") or end_ns - start_ns < SHORTEST_NS:
            return False
        known = self._places.get(state.place, 0)
        if known >= SLEEPS or self._told_ns == start_ns or not spans.leave_out(timeline, start_ns, end_ns):
            return False
        if known or len(self._places) < MAX_PLACES:
            self._places[state.place] = known + 1
            self._pool.add_rest(state.place)
        return True

    def look(self, timeline: Timeline, since_ns: int) -> None:
        """Note what it did while there was no request, since a moment."""
        self._looks += 1
        self._busy += timeline.state.is_running or timeline.asleep_since_ns > since_ns

    def is_rest(self, state: State) -> bool:
        """Whether it waits for work in this state."""
        if state.waits_for_work or state.place is None:
            return state.waits_for_work
        if self.is_shallow(state) and self._pool.count_rests(state.place) >= SLEEPS:
            return True
        return self._places.get(state.place, 0) >= SLEEPS

    def may_be_rest(self, state: State) -> bool:
        """Whether it waits for work, or likely does."""
        return self.is_rest(state) or self._pool.is_outermost(state)

    def is_shallow(self, state: State) -> bool:
        """Whether it waits for a lock as far out in its program as it ever was seen to: so its outermost loop waits."""
        return state.bucket == "lock" and state.place is not None and state.place[1] >= self._waiter.outermost_lock

    @property
    def is_background(self) -> bool:
        """Whether it is mostly busy when there is nothing to serve: then it works for itself."""
        return self._looks >= _LEAST_LOOKS and self._busy > _BUSY * self._looks
