"""When an answer was handed to the kernel: packets tell when it left, which is later where the client reads slowly.

What socket buffers hold of an answer goes out when its thread has long been at something else. A thread that was seen
blocked while sending on the request's own connection tells better: the answer was handed over when it came to rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.probes.sampled.reading import Thread
    from perfwatch.probes.sampled.states import State
    from perfwatch.probes.wire.exchanges import WireRequest

SHORTEST_NS: Final = 10_000_000
"""An answer that left within one reading is not looked at."""


def is_slow_to_leave(request: WireRequest) -> bool:
    """Whether its answer took long from its first packet to its last."""
    return bool(request.ended_ns and request.answered_ns and request.ended_ns - request.answered_ns >= SHORTEST_NS)


def handed_over(request: WireRequest, threads: Iterable[Thread]) -> WireRequest:
    """Return the request with the earlier end, if just one thread tells one."""
    if request.ended_ns is None or not is_slow_to_leave(request):
        return request
    ends = [end_ns for thread in threads if (end_ns := _end_of(request, thread, request.ended_ns))]
    return msgspec.structs.replace(request, ended_ns=ends[0]) if len(ends) == 1 else request


def _end_of(request: WireRequest, thread: Thread, ended_ns: int) -> int | None:
    """Return when a thread had sent the answer, at most its end by packets; None if it was not seen sending it."""
    connection = ((request.local, request.remote),)
    intervals = thread.timeline.intervals
    first = thread.timeline.place_of(request.arrived_ns)
    within = [place for place in range(first, len(intervals)) if intervals[place].start_ns < ended_ns]
    sent = [place for place in within if _is_sending(intervals[place].before, connection)]
    if not sent:
        return None
    for place in within[sent[-1] - first :]:
        interval = intervals[place]
        state = interval.after
        is_next = state.connections == connection and not _is_sending(state, connection)
        if is_next or thread.rests.is_rest(state):
            return min((interval.start_ns + interval.end_ns) // 2, ended_ns)
    return ended_ns


def _is_sending(state: State, connection: tuple[tuple[str, str], ...]) -> bool:
    return state.bucket == "send" and state.connections == connection
