"""Whether one thread could have served one request: what its timeline says, and what it had answered before."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from perfwatch.probes.sampled.dispatch import DISPATCH_NS, is_pooled
from perfwatch.probes.sampled.rests import SLACK_NS
from perfwatch.probes.sampled.spans import Service
from perfwatch.probes.sampled.states import NOT_THERE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.sampled.reading import Thread
    from perfwatch.probes.sampled.served import ServedBefore
    from perfwatch.probes.sampled.spans import Span
    from perfwatch.probes.sampled.states import State


def candidate(span: Span, thread: Thread, before: ServedBefore, late_ns: int, now_ns: int) -> Service | None:
    """Return the thread and when it may have begun; None if it cannot have served the request."""
    timeline = thread.timeline
    end_ns = span.ended_ns or now_ns
    if thread.rests.is_background or timeline.forgotten_ns > span.arrived_ns:
        return None
    first = timeline.place_of(span.arrived_ns)
    if first == len(timeline.intervals) or timeline.intervals[first].start_ns > end_ns:
        return None  # it did not run after the arrival
    ran_ns = [at_ns for at_ns in (span.answered_ns, span.ended_ns) if at_ns is not None]
    if not all(timeline.ran_at(at_ns, SLACK_NS) for at_ns in ran_ns):
        return None
    started = _after_rest(span, thread, first, end_ns)
    if started is None:
        return _without_rest(span, thread, before, end_ns)
    service = _from_rest(span, thread, started, min(late_ns, end_ns))
    return _after_others(span, service, before, end_ns) if service else None


def _from_rest(span: Span, thread: Thread, started: int, late_ns: int) -> Service | None:
    """Tell a thread whose last rest ended with an interval, if that is soon enough after the arrival."""
    timeline = thread.timeline
    if started == len(timeline.intervals) or timeline.seen_before(started).is_loop:
        return None
    start_ns = timeline.intervals[started].start_ns
    if start_ns > late_ns:
        return None
    return Service(thread, max(span.arrived_ns, start_ns))


def _after_rest(span: Span, thread: Thread, first: int, end_ns: int) -> int | None:
    """Return the place of the interval after its last rest before the end; None if it was not seen at rest."""
    intervals = thread.timeline.intervals
    before = thread.timeline.seen_before(first)
    started = first if before is NOT_THERE or thread.rests.is_rest(before) else None
    for place in range(first, len(intervals)):
        if intervals[place].end_ns >= end_ns:
            break
        if _at_rest(span, thread, intervals[place].after):
            started = place + 1
    return started


def _after_others(span: Span, service: Service, before: ServedBefore, end_ns: int) -> Service:
    """Let a service begin when the thread had answered what else it took up since its rest."""
    start_ns = service.start_ns or span.arrived_ns
    ends = [ended_ns for ended_ns in before.ends(service.thread, span.id) if start_ns < ended_ns < end_ns]
    if ends and is_pooled(service.thread, span.arrived_ns):
        return Service(service.thread, None)  # then others of the pool were free
    return Service(service.thread, max(ends, default=start_ns))


def _without_rest(span: Span, thread: Thread, before: ServedBefore, end_ns: int) -> Service | None:
    """Tell a thread that was busy when the request came: with another request, whose end may be known."""
    ends = [ended_ns for ended_ns in before.ends(thread, span.id) if ended_ns < end_ns]
    if not ends:
        return Service(thread, None)
    last_ns = max(ends)
    timeline = thread.timeline
    for place in range(timeline.place_of(last_ns), timeline.place_of(max(span.arrived_ns, last_ns))):
        if _at_rest(span, thread, timeline.intervals[place].after):
            return Service(thread, None)  # it has rested since: something else made it busy
    if any(last_ns < ended_ns < end_ns and timeline.ran_at(ended_ns, SLACK_NS) for ended_ns in before.unmatched_ends()):
        return Service(thread, None)  # it may have served that one in between
    return Service(thread, max(span.arrived_ns, last_ns))


def _at_rest(span: Span, thread: Thread, state: State) -> bool:
    """Whether a thread waits for work, and not for the rest of this very request."""
    if state is NOT_THERE:
        return True
    return thread.rests.is_rest(state) and not (state.connections == (span.connection,) and not state.is_loop)


def touched(span: Span, thread: Thread, now_ns: int) -> bool:
    """Whether it was seen asleep on the request's own connection: before it came, for more of it, or answering."""
    timeline = thread.timeline
    end_ns = span.ended_ns or now_ns
    place = timeline.place_of(span.arrived_ns)
    seen = [timeline.seen_before(place)]
    for interval in timeline.intervals[place:]:
        if interval.end_ns > end_ns:
            break
        seen.append(interval.after)
    return any(state.connections == (span.connection,) and not state.is_loop for state in seen)


def without_acceptors(span: Span, left: list[Service], threads: Sequence[Thread], now_ns: int) -> list[Service]:
    """Leave out who waits for new connections beside other threads, where another could have served it.

    If there is no other it may be such a thread, unless it only handed out a request that was over soon after.
    """
    sizes = Counter(thread.pid for thread in threads if thread.timeline.ended_ns is None)
    accepting = [
        service
        for service in left
        if sizes[service.thread.pid] > 1
        and service.thread.timeline.seen_before(service.thread.timeline.place_of(span.arrived_ns)).accepts
    ]
    others = [service for service in left if service not in accepting]
    return others if others or (span.ended_ns or now_ns) - span.arrived_ns <= DISPATCH_NS else accepting
