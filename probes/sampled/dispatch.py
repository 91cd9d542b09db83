"""How a request gets from whoever accepts it to a worker that is free, and how long that may take.

It takes as long as its bearers are kept from running: the acceptor by other work, and each worker that was woken by the
interpreter lock, which it needs before it can take up the request or wake the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.sampled.rests import SLACK_NS
from perfwatch.probes.sampled.timeline import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.sampled.pasts import Past, Suspect
    from perfwatch.probes.sampled.reading import Thread

DISPATCH_NS: Final = 100_000_000
"""The acceptor hands a request out within this time, or nothing is known of when it did."""
PROMPT_NS: Final = 5_000_000
"""It takes so long where nobody is busy."""
CONTENDED_NS: Final = 400_000_000
"""And at most so long where workers wait for the interpreter lock first."""
STEP_NS: Final = 1_000_000
"""Who has run for longer has taken up what it was woken for."""


def patience(arrived_ns: int, acceptors: Sequence[Past], pasts: Sequence[Past]) -> int:
    """Return how long after its arrival a request may have been handed out to a free thread.

    `acceptors` are those that watched for new connections, or for requests on several, when it came.
    """
    busy_ns = sum(_busy_ns(past.thread, arrived_ns) for past in acceptors) if acceptors else DISPATCH_NS
    until_ns = arrived_ns + DISPATCH_NS
    locked_ns = sum(_locked_ns(past, arrived_ns) for past in pasts if past.timeline.may_lock(arrived_ns, until_ns))
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


def _locked_ns(past: Past, from_ns: int) -> int:
    """Return how long a thread that came from rest waited for the interpreter lock, before it could do anything."""
    place = past.timeline.place_of(from_ns - DISPATCH_NS)
    is_fresh = past.is_free_before(place)
    locked_ns = 0
    for interval in past.intervals[place:]:
        if interval.start_ns > from_ns + DISPATCH_NS:
            break
        place += 1
        is_fresh = is_fresh and interval.run_ns < STEP_NS
        if is_fresh and "gil" in (interval.before.bucket, interval.after.bucket):
            locked_ns += max(interval.end_ns - max(interval.start_ns, from_ns), 0)
        is_fresh = is_fresh or past.is_free_before(place)
    return locked_ns


def is_rested(suspect: Suspect, to_ns: int) -> bool:
    """Whether a thread was at rest, or not there yet, when the request came or soon after."""
    past, place = suspect.past, suspect.first
    while not past.is_free_before(place):
        if place == len(past.intervals) or past.intervals[place].end_ns > to_ns:
            return False
        place += 1
    return True


def answered(suspect: Suspect, since_ns: int, ends: Sequence[int]) -> bool:
    """Whether it may have answered a request that ended then, after it was last seen before a moment."""
    past, place = suspect.past, suspect.first
    begun_ns = past.intervals[place].start_ns if place < len(past.intervals) else since_ns
    seen_ns = min(begun_ns, since_ns) - SLACK_NS
    return any(ended_ns >= seen_ns and past.timeline.ran_at(ended_ns, SLACK_NS) for ended_ns in ends)
