"""Divides the time for other services: connecting, TLS, the size of answers, many calls of one shape, slow calls.

The ledger's `calls` says how long, the calls say what for. Where several are under way at once, a moment belongs to the
one that ends last: that is what kept the request. Waits of 1 ms or more lie where they lie; what is booked
besides them is spread over the calls that no wait covers. Each nanosecond is given once, and no more than was booked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from heapq import heappop, heappush
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from perfwatch.agent.model import resumed_at
from perfwatch.probes.records import MAX_CALLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.model import ServedRequest, Wait
    from perfwatch.probes.records import Call

Part: TypeAlias = Literal["connect", "tls", "transfer", "chatty", "dependency"]
PARTS: Final[tuple[Part, ...]] = ("connect", "tls", "transfer", "chatty", "dependency")
LEAST_CHATTY: Final = 8
"""So many calls of one shape, one after the other, are a habit and not a need."""
_DOMINANT: Final = 0.5
_ABREAST: Final = 1.25
_LARGE_BYTES: Final = 65_536
"""What is smaller fits into one window: that it came slowly, its size is not to blame for."""
_MAX_WAITS: Final = 512
_LAST: Final = 1
"""After all that is told by the negative of a moment."""


class Shape(NamedTuple):
    """What calls have in common that ask for the same of the same."""

    peer: str
    protocol: str
    kind: str
    operation: str
    """Without one: the size of what was sent, in powers of two."""


class Stretch(NamedTuple):
    """A piece of time in which a request was kept by one call, and by what of it."""

    from_ns: int
    until_ns: int
    part: Part
    call: Call
    is_closing: bool = False
    """After the last answer on a connection of its own: a wait for that peer is one for the end of the connection."""


class Slice(NamedTuple):
    """Some of the time that is booked to `calls`."""

    part: Part
    call: Call | None
    """None where no call explains it."""
    wait: Wait | None
    """The wait that it is of; None of those that were too short to be told."""
    spent_ns: int


def shape_of(call: Call) -> Shape:
    """Return what tells a call from others."""
    operation = call.operation or f"{max(call.sent_bytes, 0).bit_length()} bits"
    return Shape(call.peer, call.protocol, call.kind, operation)


def calls_of(record: ServedRequest) -> list[Call]:
    """Return the calls of a request that lie in its time, as they were started."""
    inside = [
        call
        for call in record.calls[:MAX_CALLS]
        if call.started_ns < record.ended_ns and call.ended_ns > record.started_ns
    ]
    return sorted(inside, key=lambda call: call.started_ns)


def waits_of(record: ServedRequest) -> list[Wait]:
    """Return the waits of a request, as they were begun; no more than 512."""
    return sorted(record.waits, key=lambda wait: wait.started_ns)[:_MAX_WAITS]


def chatter(calls: Iterable[Call]) -> dict[Shape, list[Call]]:
    """Return the groups of many calls of one shape that went one after the other, and none of which is most of it."""
    alike: dict[Shape, list[Call]] = defaultdict(list)
    for call in calls:
        if call.sent_ns is not None:
            alike[shape_of(call)].append(call)
    return {shape: group for shape, group in alike.items() if _is_chatter(group)}


def divide(record: ServedRequest, booked_ns: int) -> list[Slice]:
    """Return what the time booked to `calls` was spent on; adds up to it. Costs 10 us for each call."""
    if booked_ns <= 0 or not record.calls:
        return [Slice("dependency", None, None, booked_ns)] if booked_ns else []
    stretches, waits = list(stretches_of(record)), waits_of(record)
    slices, left_ns = [], booked_ns
    for one in (*_waited(stretches, waits), *besides(stretches, waits, booked_ns, is_whole=not record.calls_lost)):
        taken = min(one.spent_ns, left_ns)
        if taken > 0:
            slices.append(one._replace(spent_ns=taken))
            left_ns -= taken
    return [*slices, Slice("dependency", None, None, left_ns)] if left_ns else slices


def sums(slices: Iterable[Slice]) -> dict[Part, int]:
    """Return the time of each part that has any."""
    found: dict[Part, int] = {}
    for one in slices:
        found[one.part] = found.get(one.part, 0) + one.spent_ns
    return found


def _is_chatter(group: Sequence[Call]) -> bool:
    if len(group) < LEAST_CHATTY:
        return False
    lengths = [max(call.ended_ns - call.started_ns, 0) for call in group]
    together, until_ns = 0, 0
    for call in group:
        together += max(call.ended_ns - max(call.started_ns, until_ns), 0)
        until_ns = max(until_ns, call.ended_ns)
    return sum(lengths) <= _ABREAST * together and max(lengths) <= _DOMINANT * sum(lengths)


def stretches_of(record: ServedRequest) -> Iterator[Stretch]:
    """Yield who kept the request when, in order of time, none over another."""
    calls = calls_of(record)
    chatty = {id(call) for group in chatter(calls).values() for call in group}
    first_ns, last_ns = record.started_ns, record.ended_ns
    pieces = [
        Stretch(max(from_ns, first_ns), min(until_ns, last_ns), part, call)
        for call in calls
        for from_ns, until_ns, part in _pieces(call, "chatty" if id(call) in chatty else "dependency")
        if from_ns < until_ns and from_ns < last_ns and until_ns > first_ns
    ]
    pieces += _closings(calls, last_ns)
    pieces.sort(key=itemgetter(0))
    return _one_at_a_time(pieces)


def _closings(calls: Sequence[Call], last_ns: int) -> Iterator[Stretch]:
    """Yield the time from the end of each connection's last call, if it was opened for it, to the next call."""
    last = {call.connection: call for call in calls}
    starts = [call.started_ns for call in calls]
    opened = {call.connection for call in calls if call.connected_ns is not None}
    for connection, call in last.items():
        if connection in opened and call.answered_ns is not None and call.ended_ns < last_ns:
            at = bisect_left(starts, call.ended_ns)
            until_ns = min(starts[at], last_ns) if at < len(starts) else last_ns
            if call.ended_ns < until_ns:
                yield Stretch(call.ended_ns, until_ns, "connect", call, is_closing=True)


def _one_at_a_time(pieces: Sequence[Stretch]) -> Iterator[Stretch]:
    """Yield who has each moment: of the pieces that are under way the one whose call ends last."""
    moments = sorted({moment for one in pieces for moment in (one.from_ns, one.until_ns)})
    under_way: list[tuple[int, int]] = []
    begun = 0
    for from_ns, until_ns in pairwise(moments):
        while begun < len(pieces) and pieces[begun].from_ns <= from_ns:
            heappush(under_way, (_LAST if pieces[begun].is_closing else -pieces[begun].call.ended_ns, begun))
            begun += 1
        while under_way and pieces[under_way[0][1]].until_ns <= from_ns:
            heappop(under_way)
        if under_way:
            yield Stretch(from_ns, until_ns, *pieces[under_way[0][1]][2:])


def _pieces(call: Call, usual: Part) -> Iterator[tuple[int, int, Part]]:
    """Yield what a call did one after the other; but for the time in which its answer lay unread."""
    at_ns = call.started_ns
    if call.connected_ns is not None:
        yield at_ns, call.connected_ns, "connect"
        at_ns = max(at_ns, call.connected_ns)
    if call.secured_ns is not None:
        yield at_ns, call.secured_ns, "tls"
        at_ns = max(at_ns, call.secured_ns)
    if call.sent_ns is not None:
        yield at_ns, call.sent_ns, "transfer" if call.sent_bytes >= _LARGE_BYTES else usual
        at_ns = max(at_ns, call.sent_ns)
    if call.answered_ns is None:
        yield at_ns, call.ended_ns, _unanswered(call, usual)
        return
    yield at_ns, call.answered_ns, usual
    at_ns = max(at_ns, call.answered_ns, call.read_ns or 0)
    yield at_ns, call.ended_ns, "transfer" if call.received_bytes >= _LARGE_BYTES else usual


def _unanswered(call: Call, usual: Part) -> Part:
    """Say what a call was at that never got so far as to ask."""
    is_asked = call.sent_ns is not None or call.connected_ns is not None or call.sent_bytes > 0
    return usual if is_asked else "connect"


def _waited(stretches: Sequence[Stretch], waits: Sequence[Wait]) -> Iterator[Slice]:
    """Yield what each wait for other services was spent on."""
    at = 0
    for wait in waits:
        if wait.bucket != "calls":
            continue
        from_ns, until_ns = wait.started_ns, wait.started_ns + wait.blocked_ns
        while at < len(stretches) and stretches[at].until_ns <= from_ns:
            at += 1
        known_ns = 0
        for one in _from(stretches, at, until_ns):
            if one.is_closing and wait.peer != one.call.peer:
                continue
            spent_ns = min(one.until_ns, until_ns) - max(one.from_ns, from_ns)
            known_ns += spent_ns
            yield Slice(one.part, one.call, wait, spent_ns)
        yield Slice("dependency", None, wait, wait.blocked_ns - known_ns)


def besides(stretches: Sequence[Stretch], waits: Sequence[Wait], booked_ns: int, *, is_whole: bool) -> Iterator[Slice]:
    """Yield the calls that no wait covers, by what is booked besides the waits.

    Where some calls were only counted (not `is_whole`), the others stand for them.
    """
    left_ns = booked_ns - sum(wait.blocked_ns for wait in waits if wait.bucket == "calls")
    meant = [one for one in stretches if not one.is_closing]
    bare = list(uncovered(meant, waits)) if left_ns > 0 else []
    bare_ns = sum(spent_ns for _, spent_ns in bare)
    if bare_ns <= 0:
        return
    scale = min(left_ns / bare_ns, 1.0) if is_whole else left_ns / bare_ns
    for one, spent_ns in bare:
        yield Slice(one.part, one.call, None, int(spent_ns * scale))


def uncovered(stretches: Sequence[Stretch], waits: Sequence[Wait]) -> Iterator[tuple[Stretch, int]]:
    """Yield how much of each stretch lies in no wait of any kind."""
    at = 0
    for one in stretches:
        covered_ns, seen_ns = 0, one.from_ns
        while at < len(waits) and resumed_at(waits[at]) <= one.from_ns:
            at += 1
        for wait in waits[at:]:
            if wait.started_ns >= one.until_ns or seen_ns >= one.until_ns:
                break
            from_ns, until_ns = max(wait.started_ns, seen_ns), min(resumed_at(wait), one.until_ns)
            covered_ns += max(until_ns - from_ns, 0)
            seen_ns = max(seen_ns, until_ns)
        yield one, one.until_ns - one.from_ns - covered_ns


def _from(stretches: Sequence[Stretch], at: int, until_ns: int) -> Iterator[Stretch]:
    while at < len(stretches) and stretches[at].from_ns < until_ns:
        yield stretches[at]
        at += 1
