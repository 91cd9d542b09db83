"""How a request gets from whoever accepts it to a worker that is free, and how long that may take.

It takes as long as its bearers are kept from running: the acceptor by other work, and each worker that was woken by the
interpreter lock, which it needs before it can take up the request or wake the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.sampled.rests import SLACK_NS
from perfwatch.probes.sampled.states import NOT_THERE
from perfwatch.probes.sampled.timeline import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.sampled.reading import Thread
    from perfwatch.probes.sampled.states import State

DISPATCH_NS: Final = 100_000_000
"""The acceptor hands a request out within this time, or nothing is known of when it did."""
PROMPT_NS: Final = 5_000_000
"""It takes so long where nobody is busy."""
CONTENDED_NS: Final = 400_000_000
"""And at most so long where workers wait for the interpreter lock first."""
STEP_NS: Final = 1_000_000
"""Who has run for longer has taken up what it was woken for."""


def patience(arrived_ns: int, threads: Sequence[Thread]) -> int:
    """Return how long after its arrival a request may have been handed out to a free thread."""
    found = [
        thread
        for thread in threads
        if (state := thread.timeline.seen_before(thread.timeline.place_of(arrived_ns))).accepts or state.is_loop
    ]
    busy_ns = sum(_busy_ns(thread, arrived_ns) for thread in found) if found else DISPATCH_NS
    locked_ns = sum(_locked_ns(thread, arrived_ns) for thread in threads)
    return min(PROMPT_NS + min(busy_ns, DISPATCH_NS) + locked_ns, CONTENDED_NS)


def _busy_ns(thread: Thread, from_ns: int) -> int:
    """Return how long a thread was busy, or wanted to be, in the time in which it should hand out a request."""
    busy_ns = 0
    for start_ns, end_ns, what in thread.timeline.between(from_ns, from_ns + DISPATCH_NS):
        if isinstance(what, Interval):
            busy_ns += min(what.run_ns + what.wait_ns, end_ns - start_ns)
            if not thread.rests.is_rest(what.after):
                busy_ns += what.slept_ns
        elif not thread.rests.is_rest(what):
            busy_ns += end_ns - start_ns
    return busy_ns


def _locked_ns(thread: Thread, from_ns: int) -> int:
    """Return how long a thread that came from rest waited for the interpreter lock, before it could do anything."""
    timeline = thread.timeline
    first = timeline.place_of(from_ns - DISPATCH_NS)
    is_fresh = is_free(thread, timeline.seen_before(first))
    locked_ns = 0
    for interval in timeline.intervals[first:]:
        if interval.start_ns > from_ns + DISPATCH_NS:
            break
        is_fresh = is_fresh and interval.run_ns < STEP_NS
        if is_fresh and "gil" in (interval.before.bucket, interval.after.bucket):
            locked_ns += max(interval.end_ns - max(interval.start_ns, from_ns), 0)
        is_fresh = is_fresh or is_free(thread, interval.after)
    return locked_ns


def is_free(thread: Thread, state: State) -> bool:
    """Whether it waits for work in this state, or is not there yet."""
    return state is NOT_THERE or thread.rests.is_rest(state)


def is_pooled(thread: Thread, at_ns: int) -> bool:
    """Whether a thread rested at a moment, ready for any request."""
    state = thread.timeline.seen_before(thread.timeline.place_of(at_ns))
    return not state.waits_for_work and thread.rests.is_rest(state)


def is_rested(thread: Thread, from_ns: int, to_ns: int) -> bool:
    """Whether a thread was at rest, or not there yet, at a moment or soon after."""
    timeline = thread.timeline
    first = timeline.place_of(from_ns)
    seen = [interval.after for interval in timeline.intervals[first:] if interval.end_ns <= to_ns]
    return any(is_free(thread, state) for state in (timeline.seen_before(first), *seen))


def answered(thread: Thread, since_ns: int, ends: Sequence[int]) -> bool:
    """Whether it may have answered a request that ended then, after it was last seen before a moment."""
    timeline = thread.timeline
    place = timeline.place_of(since_ns)
    begun_ns = timeline.intervals[place].start_ns if place < len(timeline.intervals) else since_ns
    seen_ns = min(begun_ns, since_ns) - SLACK_NS
    return any(ended_ns >= seen_ns and timeline.ran_at(ended_ns, SLACK_NS) for ended_ns in ends)
