"""The other end of a call, where that is watched too: which request of another service was made by it.

A TCP connection has the same two addresses at both its ends: what a call's `local` is, is the callee's `remote`. Of the
requests on one connection the callee is the one whose time is the call's. The kernel stamps what was sent when the send
returns, which may be after the peer has read it: hence a slack. Streams of HTTP/2 lie side by side on one connection:
there it has to be the only one by time, or by method and route. A Unix socket's client has no address: there both ends
of the time must agree, and no other call and no other request may fit as well. Else nothing is said.

Either end may be told first; a caller that was judged already is judged anew then. All that is kept here is bounded.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from perfwatch.agent.correlator.recent import RecentLists
from perfwatch.agent.correlator.routes import fold
from perfwatch.agent.model import arrival_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.model import ServedRequest
    from perfwatch.probes.records import Call

MAX_FOLLOWED: Final = 8
"""So many calls of one request are followed, the longest ones."""
_SERVED: Final = 2048
_MADE: Final = 8192
_JOINED: Final = 64
_LOOKED_AT: Final = 256
_LONG_NS: Final = 1_000_000_000
_UNIX: Final = "unix:"
_NAMELESS: Final = "unix:?"
_SLACK_NS: Final = 2_000_000
_BESIDE_EACH_OTHER: Final = ("http/2", "grpc")
_HTTP: Final = ("http/1", "http/2", "grpc")

Meeting: TypeAlias = tuple[str, str]
"""The address that was called, and the caller's; of a Unix socket the first alone."""


class Made(NamedTuple):
    """A call, and the request that made it."""

    caller: int
    place: int
    """In the caller's `calls`."""
    call: Call


class Joined(NamedTuple):
    """A request, and what a call of it was."""

    caller: int
    callee: ServedRequest


class Followed(NamedTuple):
    """A call, by its place in the caller's `calls`, and the request that it was at its other end."""

    place: int
    callee: ServedRequest


class Callees:
    """What was called, and what was served, not long ago."""

    def __init__(self) -> None:
        self._served: RecentLists[Meeting, ServedRequest] = RecentLists(_SERVED)
        self._asked: RecentLists[Meeting, Made] = RecentLists(_MADE)  # by judged requests
        self._on_unix: RecentLists[Meeting, Made] = RecentLists(_MADE)  # by all
        self._joined: RecentLists[Meeting, Joined] = RecentLists(_JOINED)  # on Unix sockets

    def take(self, record: ServedRequest) -> None:
        """Take in a request that has ended; 1 us, and 1 us for each call on a Unix socket."""
        meeting = _meeting(record.local, record.remote)
        if meeting is not None:
            self._served.add(meeting, record)
        for made in _made_by(record):
            if made.call.peer.startswith(_UNIX):
                self._on_unix.add((made.call.peer, ""), made)

    def ask(self, record: ServedRequest) -> None:
        """Take in the calls of a request that is judged."""
        for made in _made_by(record):
            meeting = _meeting(made.call.peer, made.call.local)
            if meeting is not None:
                self._asked.add(meeting, made)

    def callers(self, record: ServedRequest) -> tuple[int, ...]:
        """Return the judged requests, by id, for which this one changes whom they called, as far as they are known.

        Those that may have made it; and those that are joined to one that it may have made as well.
        """
        callers = [one.caller for one in self._asked_of(record) if _fits(one.call, record)]
        for call in record.calls:
            if call.peer.startswith(_UNIX):
                joined = islice(self._joined.newest((call.peer, "")), _JOINED)
                callers += [one.caller for one in joined if _fits(call, one.callee)]
        return tuple(dict.fromkeys(callers))

    def of(self, record: ServedRequest) -> tuple[Followed, ...]:
        """Return the requests that a request's calls were at their other end, in the order of the calls."""
        longest = sorted(enumerate(record.calls), key=lambda one: one[1].started_ns - one[1].ended_ns)
        found: dict[int, Followed] = {}
        for place, call in longest:
            callee = self._callee(Made(record.id, place, call))
            if callee is not None and callee.id not in found:
                found[callee.id] = Followed(place, callee)
            if len(found) == MAX_FOLLOWED:
                break
        return tuple(sorted(found.values()))

    def _callee(self, made: Made) -> ServedRequest | None:
        call = made.call
        meeting = _meeting(call.peer, call.local)
        if meeting is None:
            return None
        fitting = [one for one in self._served_at(meeting) if one.id != made.caller and _fits(call, one)]
        if not meeting[1]:
            return self._only_one(made, fitting, meeting)
        if call.protocol in _BESIDE_EACH_OTHER and len(fitting) > 1:
            named = [one for one in fitting if f"{one.method} {fold(one.target)}" == call.operation]
            return named[0] if len(named) == 1 else None
        return max(fitting, key=lambda one: _overlap_ns(call, one), default=None)

    def _only_one(self, made: Made, fitting: Sequence[ServedRequest], meeting: Meeting) -> ServedRequest | None:
        """Return the callee of a call on a Unix socket, where no other request, and no other call, fits as well."""
        if len(fitting) != 1:
            return None
        callee, calls = fitting[0], islice(self._on_unix.newest(meeting), _LOOKED_AT)
        if any((one.caller, one.place) != (made.caller, made.place) and _fits(one.call, callee) for one in calls):
            return None
        self._joined.add(meeting, Joined(made.caller, callee))
        return callee

    def _served_at(self, meeting: Meeting) -> Iterator[ServedRequest]:
        """Yield what was served, each request as it was told last."""
        seen: set[int] = set()
        for record in islice(self._served.newest(meeting), _LOOKED_AT):
            if record.id not in seen:
                seen.add(record.id)
                yield record

    def _asked_of(self, record: ServedRequest) -> Iterator[Made]:
        """Yield the calls that may have made a request, up to those that ended long before it began."""
        meeting = _meeting(record.local, record.remote)
        if meeting is not None:
            long_before_ns = _span(record)[0] - _LONG_NS
            for made in islice(self._asked.newest(meeting), _LOOKED_AT):
                if made.call.ended_ns < long_before_ns:
                    return
                yield made


def _made_by(record: ServedRequest) -> Iterator[Made]:
    return (Made(record.id, place, call) for place, call in enumerate(record.calls))


def _meeting(called: str, caller: str) -> Meeting | None:
    if called.startswith(_UNIX):
        return None if called == _NAMELESS else (called, "")
    return (called, caller) if called and caller else None


def _fits(call: Call, callee: ServedRequest) -> bool:
    """Whether a request may be what a call was at its other end."""
    method = (call.operation or "").partition(" ")[0]
    if call.protocol in _HTTP and method.isalpha() and callee.method is not None and method != callee.method:
        return False
    begun_ns, ended_ns = _span(callee)
    if call.peer.startswith(_UNIX):
        sent_ns, answered_ns = call.sent_ns or call.started_ns, call.answered_ns
        return (
            answered_ns is not None
            and call.started_ns - _SLACK_NS <= begun_ns <= sent_ns + _SLACK_NS
            and answered_ns - _SLACK_NS <= ended_ns <= call.ended_ns + _SLACK_NS
        )
    middle_ns = (begun_ns + ended_ns) // 2
    return call.started_ns - _SLACK_NS <= middle_ns <= call.ended_ns + _SLACK_NS


def _overlap_ns(call: Call, callee: ServedRequest) -> int:
    """Return for how long both lasted; negative: so far they are apart."""
    begun_ns, ended_ns = _span(callee)
    return min(call.ended_ns, ended_ns) - max(call.started_ns, begun_ns)


def _span(record: ServedRequest) -> tuple[int, int]:
    return arrival_of(record), record.ended_ns
