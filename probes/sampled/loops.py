"""Event loops: one thread serves many requests at a time, and watches their connections together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.probes.sampled.rests import SLACK_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.sampled.reading import Thread
    from perfwatch.probes.sampled.spans import Span


def loop_of(span: Span, threads: Sequence[Thread], now_ns: int) -> Thread | None:
    """Return the event loop that serves a request: it watched its connection meanwhile, or never rested."""
    found = [thread for thread in threads if _looped(span, thread, span.ended_ns or now_ns)]
    return found[0] if len(found) == 1 else None


def _looped(span: Span, thread: Thread, end_ns: int) -> bool:
    timeline = thread.timeline
    first = timeline.place_of(span.arrived_ns)
    if not timeline.seen_before(first).is_loop or not timeline.ran_at(end_ns, SLACK_NS):
        return False
    seen = [interval.after for interval in timeline.intervals[first:] if interval.end_ns < end_ns]
    rests = [state for state in seen if state.is_loop]
    return not rests or any(span.connection in state.connections for state in rests)
