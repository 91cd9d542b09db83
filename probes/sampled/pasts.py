"""A thread while requests are being matched: neither what it did nor what is rest to it changes meanwhile.

Some ten requests ask each thread the same at a time; what is dear to answer is answered once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from perfwatch.probes.sampled.states import NOT_THERE

if TYPE_CHECKING:
    from perfwatch.probes.sampled.reading import Thread
    from perfwatch.probes.sampled.states import State


class Past:
    """A thread's timeline, and in which of its states it was free. Places are those of its intervals."""

    __slots__ = ("_free", "intervals", "thread", "timeline")

    def __init__(self, thread: Thread) -> None:
        self.thread = thread
        self.timeline = thread.timeline
        self.intervals = thread.timeline.intervals
        self._free: dict[int, bool] = {}

    def is_free_before(self, place: int) -> bool:
        """Whether, when it was seen last before an interval, it waited for work or was not there yet."""
        is_free = self._free.get(place)
        if is_free is None:
            state = self.timeline.seen_before(place)
            is_free = self._free[place] = state is NOT_THERE or self.thread.rests.is_rest(state)
        return is_free

    def is_resting_before(self, place: int, connection: tuple[str, str]) -> bool:
        """Whether it was free, and did not wait for the rest of the very request on a connection."""
        return self.is_free_before(place) and not is_on(self.timeline.seen_before(place), connection)


class Suspect(NamedTuple):
    """A thread that may have served a request, as far as its own timeline tells."""

    past: Past
    first: int
    """Place of the first interval that ended after the arrival."""
    started: int | None
    """Place of the interval that ended its last rest; None if it was not seen at rest."""

    @property
    def thread(self) -> Thread:
        """Who it is."""
        return self.past.thread

    @property
    def is_pooled(self) -> bool:
        """Whether it rested when the request came, ready for any."""
        state = self.past.timeline.seen_before(self.first)
        return not state.waits_for_work and state is not NOT_THERE and self.past.is_free_before(self.first)


def is_on(state: State, connection: tuple[str, str]) -> bool:
    """Whether it is a wait on this connection alone."""
    return state.connections == (connection,) and not state.is_loop
