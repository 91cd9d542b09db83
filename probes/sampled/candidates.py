"""Whether one thread could have served one request: what its timeline says, and what it had answered before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.probes.sampled.pasts import Suspect, is_on
from perfwatch.probes.sampled.rests import SLACK_NS
from perfwatch.probes.sampled.spans import Service

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.probes.sampled.pasts import Past
    from perfwatch.probes.sampled.served import ServedBefore
    from perfwatch.probes.sampled.spans import Span


def suspects(span: Span, seen: Iterable[tuple[Past, int]], late_ns: int, end_ns: int) -> list[Suspect]:
    """Return the threads whose own timelines allow it; `seen` are all, and their places when the request came."""
    return [
        suspect
        for past, first in seen
        if _ran(span, past, first, end_ns) and (suspect := _suspect(span, past, first, late_ns, end_ns))
    ]


def _ran(span: Span, past: Past, first: int, end_ns: int) -> bool:
    """Whether it ran after the arrival, and at the moments at which its answer was sent. This rules out most."""
    if first == len(past.intervals) or past.intervals[first].start_ns > end_ns:
        return False
    ran_at = past.timeline.ran_at
    if span.ended_ns is not None and not ran_at(span.ended_ns, SLACK_NS):
        return False
    if span.answered_ns is not None and not ran_at(span.answered_ns, SLACK_NS):
        return False
    return not past.thread.rests.is_background and past.timeline.forgotten_ns <= span.arrived_ns


def _suspect(span: Span, past: Past, first: int, late_ns: int, end_ns: int) -> Suspect | None:
    """Tell a thread that was busy all the time, or whose last rest was over soon enough after the arrival."""
    started = _after_rest(span, past, first, end_ns)
    if started is None:
        return Suspect(past, first, None)
    if started == len(past.intervals) or past.intervals[started].start_ns > min(late_ns, end_ns):
        return None
    return None if past.timeline.seen_before(started).is_loop else Suspect(past, first, started)


def _after_rest(span: Span, past: Past, first: int, end_ns: int) -> int | None:
    """Return the place of the interval after its last rest before the end; None if it was not seen at rest."""
    for place in range(past.timeline.place_of(end_ns), first, -1):
        if past.is_resting_before(place, span.connection):
            return place
    return first if past.is_free_before(first) else None


def service_of(span: Span, suspect: Suspect, before: ServedBefore, end_ns: int) -> Service:
    """Tell since when a thread may have served a request, by the others that it is known to have served."""
    if suspect.started is None:
        return Service(suspect.thread, _without_rest(span, suspect, before, end_ns))
    start_ns = max(span.arrived_ns, suspect.past.intervals[suspect.started].start_ns)
    last_ns = before.last_end(suspect.thread, span.id, start_ns, end_ns)
    if last_ns is None:
        return Service(suspect.thread, start_ns)
    return Service(suspect.thread, None if suspect.is_pooled else last_ns)  # if pooled, others of the pool were free


def _without_rest(span: Span, suspect: Suspect, before: ServedBefore, end_ns: int) -> int | None:
    """Tell since when, of one that was busy when the request came: with another request, whose end may be known."""
    last_ns = before.last_end(suspect.thread, span.id, 0, end_ns)
    if last_ns is None:
        return None
    past, timeline = suspect.past, suspect.past.timeline
    for place in range(timeline.place_of(last_ns), timeline.place_of(max(span.arrived_ns, last_ns))):
        if past.is_resting_before(place + 1, span.connection):
            return None  # it has rested since: something else made it busy
    if any(timeline.ran_at(ended_ns, SLACK_NS) for ended_ns in before.unmatched_ends(last_ns, end_ns)):
        return None  # it may have served that one in between
    return max(span.arrived_ns, last_ns)


def touched(span: Span, suspect: Suspect, end_ns: int) -> bool:
    """Whether it was seen asleep on the request's own connection: before it came, for more of it, or answering."""
    past, first = suspect.past, suspect.first
    if is_on(past.timeline.seen_before(first), span.connection):
        return True
    ended = past.timeline.place_of(end_ns + 1)
    return any(is_on(interval.after, span.connection) for interval in past.intervals[first:ended])
