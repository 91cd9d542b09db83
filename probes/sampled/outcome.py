"""From who could have served a request to what is booked for it: all of its thread's time, or what all have in common.

Where several threads are left, it is not to be known whose time is the request's. What all of them did at the same time
is its own all the same, if it is known since when it was served. A server that was never idle since the attaching shows
no begin; then a request was read at the latest when its socket was first seen empty, and from there on one thing is
certain without knowing more: if all that could have served it took turns at the interpreter lock, so did the request,
or whatever it stood in line behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.records import BUCKETS
from perfwatch.probes.sampled.booking import Book, Booked, common
from perfwatch.probes.sampled.timeline import Interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.probes.records import Threads
    from perfwatch.probes.sampled.reading import Thread
    from perfwatch.probes.sampled.spans import Match
    from perfwatch.probes.sampled.states import State
    from perfwatch.probes.wire.exchanges import WireRequest

MAX_ALIKE: Final = 8
"""Of more threads than that nothing is said."""
LEAST_ALIKE: Final = 0.5
"""What all did is booked if it is that much of the request."""
LEAST_LOCKED: Final = 0.35
"""The same of waiting for the interpreter lock, where it is not known since when it was served."""
_QUEUE: Final = BUCKETS.index("queue")
_GIL: Final = BUCKETS.index("gil")
_TURNS: Final = {_GIL, BUCKETS.index("on_cpu"), BUCKETS.index("run_queue")}
_NOTHING: Final = Booked((0,) * len(BUCKETS), (), 0, ())


class Outcome(NamedTuple):
    """Who serves a request, since when, and what was booked for it."""

    pid: int
    tid: int
    """The process's own, where several threads could have."""
    started_ns: int
    threads: Threads
    booked: Booked = _NOTHING
    thread: Thread | None = None


def outcome(request: WireRequest, match: Match, read_ns: int | None, root: int, now_ns: int) -> Outcome:
    """Return what is known. `read_ns`: at that moment it had been read; `root`: whose it is if that is not known."""
    end_ns = request.ended_ns or now_ns
    if len(match.services) == 1 and match.services[0].start_ns is not None:
        thread, start_ns = match.services[0]
        booked = _booked(request, thread, start_ns or request.arrived_ns, end_ns)
        return Outcome(thread.pid, thread.tid, start_ns or request.arrived_ns, "one", booked, thread)
    if match.loop:
        return Outcome(match.loop.pid, match.loop.tid, request.arrived_ns, "shared")
    pids = {service.thread.pid for service in match.services}
    pid = pids.pop() if len(pids) == 1 else root
    alike = None
    if 0 < len(match.services) <= MAX_ALIKE:
        alike = _alike(request, match, end_ns) or (None if pids else _locked(request, match, read_ns, end_ns))
    if alike is None:
        return Outcome(pid, pid, request.arrived_ns, "unmatched")
    return Outcome(pid, pid, request.arrived_ns + alike.booked_ns[_QUEUE], "one", alike)


def _alike(request: WireRequest, match: Match, end_ns: int) -> Booked | None:
    """Return what all have in common, if it is known of each since when it may have served the request."""
    starts = [(thread, start_ns) for thread, start_ns in match.services if start_ns is not None]
    if len(starts) < len(match.services):
        return None
    alike = common([_booked(request, thread, start_ns, end_ns) for thread, start_ns in starts])
    return alike if sum(alike.booked_ns) >= LEAST_ALIKE * (end_ns - request.arrived_ns) else None


def _locked(request: WireRequest, match: Match, read_ns: int | None, end_ns: int) -> Booked | None:
    """Return how all took turns since the request had been read, if they mostly waited for the interpreter lock."""
    if read_ns is None or read_ns >= end_ns:
        return None
    busy = [thread for thread, _ in match.services if not _rested(thread, read_ns, end_ns)]
    if not busy:
        return None
    booked_ns = common([_booked(request, thread, read_ns, end_ns) for thread in busy]).booked_ns
    turns = [spent_ns if place in _TURNS else 0 for place, spent_ns in enumerate(booked_ns)]
    if turns[_GIL] < max(*turns, LEAST_LOCKED * (end_ns - request.arrived_ns)):
        return None
    return Booked(tuple(turns), (), 0, ())


def _booked(request: WireRequest, thread: Thread, start_ns: int, end_ns: int) -> Booked:
    book = Book(thread.rests.is_rest, _on((request.local, request.remote)))
    book.add(thread.timeline, start_ns, end_ns)
    return book.balance(queue_ns=start_ns - request.arrived_ns)


def _rested(thread: Thread, start_ns: int, end_ns: int) -> bool:
    """Whether it was seen waiting for work in between: then it did not serve what had been read before."""
    seen = thread.timeline.between(start_ns, end_ns)
    states = (what.after if isinstance(what, Interval) else what for _, to_ns, what in seen if to_ns < end_ns)
    return any(thread.rests.may_be_rest(state) for state in states)


def _on(connection: tuple[str, str]) -> Callable[[State], bool]:
    return lambda state: state.connections == (connection,)
