"""Whom a piece of time is to be blamed on: who held what was waited for, and when; as far as it was seen.

The thread that ended a wait for a lock had it (those in line before it had it before); the request that ran on an event
loop kept it; a worker was kept by what it served before; a call waits for its callee, where that is watched too, else
for its peer; a thread that is ready waits for the one that has the CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from perfwatch.agent.correlator.doings import Piece, Stretch, within
from perfwatch.agent.correlator.findings import named, thread_name
from perfwatch.agent.correlator.lines import line_before
from perfwatch.agent.correlator.places import is_scaffolding, telling
from perfwatch.agent.correlator.routes import fold
from perfwatch.agent.correlator.series import Span
from perfwatch.agent.correlator.storage import likely_device
from perfwatch.agent.model import OpenRequest, ServedRequest, arrival_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Literal

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.model import Frame, Mechanism, Wait
    from perfwatch.probes.records import Culprit, Waker

    Kind: TypeAlias = Literal["request", "thread", "process", "peer", "device"]

OF_CALLS: Final[frozenset[Mechanism]] = frozenset({"dependency", "chatty", "transfer", "connect", "tls"})
"""Mechanisms whose time is spent on other processes."""


class Blamed(NamedTuple):
    """Somebody, and the time for which it had what was waited for."""

    kind: Kind
    name: str
    spent_ns: int
    stretches: tuple[Stretch, ...] = ()
    """When; empty where only the sum is known."""
    frame: Frame | None = None
    record: ServedRequest | None = None
    """The request; None where there is none, or it is not told yet."""
    request: int | None = None
    """Its id."""
    pid: int | None = None
    tid: int | None = None
    endpoint: str | None = None
    """Of a request, by which those of one kind are taken together."""


def blamed(piece: Piece, context: Context) -> Iterator[Blamed]:
    """Yield who is to blame for a piece; nobody where nothing tells, or it is nobody's doing but its own."""
    match piece.mechanism:
        case "lock" | "pool" | "gil":
            yield from _holders(piece, context)
        case "event-loop":
            yield from _keeper(piece, context)
        case "queue":
            yield from _served_before(piece, context)
        case "dependency":
            yield from _asked(piece, context)
        case "run-queue":
            yield from _ahead(piece)
        case "disk":
            yield from _device(piece, context)
        case _:
            return


def _holders(piece: Piece, context: Context) -> Iterator[Blamed]:
    if piece.wait is None:
        return
    giver = None if piece.record is None else context.traffic.givers.gave(piece.record, piece.wait)
    known = None if giver is None else find(giver, context)
    if isinstance(known, ServedRequest):
        for stretch in within([(known.started_ns, known.ended_ns)], piece.from_ns, piece.until_ns):
            yield _request(known, stretch, None)
        return
    for one in line_before(piece.code, piece.wait, context.traffic):
        for start, end in within([(one.from_ns, one.until_ns)], piece.from_ns, piece.until_ns):
            frame = _place(one.code.stack(one.stack))
            yield _thread(one.holder, (start, end), frame, context)


def _keeper(piece: Piece, context: Context) -> Iterator[Blamed]:
    """Yield who kept the loop; its own work that serves no request is its thread's."""
    if piece.wait is None and piece.record is not None:
        yield from _kept_before(piece, piece.record, context)
    if piece.wait is not None and piece.wait.waker is not None and piece.record is not None:
        frame = _place(piece.record.code.stack(piece.wait.waker_stack))
        yield _thread(piece.wait.waker, (piece.from_ns, piece.until_ns), frame, context)


def _kept_before(piece: Piece, record: ServedRequest, context: Context) -> Iterator[Blamed]:
    """Yield who kept the loop while a request had not been read: of those that are known to have, when they ran."""
    for culprit in record.culprits:
        known = None if culprit.request is None else find(culprit.request, context)
        if isinstance(known, ServedRequest):
            for start, end in within([(known.started_ns, known.ended_ns)], piece.from_ns, piece.until_ns):
                if 2 * culprit.held_ns >= end - start:
                    yield _request(known, (start, end), None)
        elif culprit.request is not None:
            yield _untold(culprit, piece)


def _untold(culprit: Culprit, piece: Piece) -> Blamed:
    """Return a request that has not ended: for how long it kept the loop is known, and not yet when."""
    endpoint = f"{culprit.method or '?'} {fold(culprit.target)}"
    return Blamed(
        kind="request",
        name=f"{culprit.method or '?'} {culprit.target or '?'}",
        spent_ns=min(max(culprit.held_ns, 0), piece.spent_ns),
        request=culprit.request,
        pid=culprit.pid,
        tid=culprit.tid,
        endpoint=endpoint,
    )


def _served_before(piece: Piece, context: Context) -> Iterator[Blamed]:
    """Yield what the thread that served a request at last was serving while that one waited."""
    record = piece.record
    if record is None or record.threads != "one":
        return
    for other in context.traffic.ended_beside(record, piece.until_ns):
        if other.tid == record.tid and other.id != record.id:
            for stretch in within([(other.started_ns, other.ended_ns)], piece.from_ns, piece.until_ns):
                yield _request(other, stretch, None)


def _asked(piece: Piece, context: Context) -> Iterator[Blamed]:
    """Yield the request that a call was at its other end, where that is watched; else its peer."""
    record, wait = piece.record, piece.wait
    if wait is None:
        yield from _mostly_asked(piece, context)
        return
    callee = None if record is None else _callee(record, wait, context)
    if callee is not None:
        for stretch in within([(arrival_of(callee), callee.ended_ns)], piece.from_ns, piece.until_ns):
            yield _request(callee, stretch, None)
    elif wait.peer is not None:
        yield _peer(wait.peer, piece, context)
    elif wait.bucket in ("child", "other") and wait.waker is not None:
        yield _process(wait.waker, piece)


def _mostly_asked(piece: Piece, context: Context) -> Iterator[Blamed]:
    """Yield the callees of a request, else its only peer, for waits that were too short to be told one by one."""
    judged = None if piece.record is None else context.judged(piece.record.id)
    for callee in () if judged is None else judged.callees:
        known = find(callee.request, context)
        if isinstance(known, ServedRequest):
            yield _request(known, (arrival_of(known), known.ended_ns), None)
    if judged is not None and judged.callees:
        return
    peers = {one.address for one in piece.record.peers} if piece.record is not None else set()
    for address in peers if len(peers) == 1 else ():
        yield _peer(address, piece, context)


def _callee(record: ServedRequest, wait: Wait, context: Context) -> ServedRequest | None:
    """Return the request that a wait for an answer was for, if a call that was followed overlaps it."""
    judged = context.judged(record.id)
    if judged is None:
        return None
    end_ns = wait.started_ns + wait.blocked_ns
    for callee in judged.callees:
        call = judged.record.calls[callee.call] if callee.call < len(judged.record.calls) else None
        if call is not None and call.started_ns < end_ns and call.ended_ns > wait.started_ns:
            found = find(callee.request, context)
            return found if isinstance(found, ServedRequest) else None
    return None


def _ahead(piece: Piece) -> Iterator[Blamed]:
    if piece.wait is not None and piece.wait.ahead is not None:
        yield _process(piece.wait.ahead, piece)


def _device(piece: Piece, context: Context) -> Iterator[Blamed]:
    """Yield the device that the process's files are on, where one is known to have been used then."""
    if piece.wait is not None:
        device, is_own = likely_device(piece.pid, context, Span(piece.from_ns, piece.until_ns))
        if device is not None and is_own and device.utilisation > 0:
            yield Blamed("device", device.device, piece.spent_ns)


def find(request: int, context: Context) -> ServedRequest | OpenRequest | None:
    """Return a request by its id; of one that was judged, all that is known of it."""
    judged = context.judged(request)
    return context.traffic.find(request) if judged is None else judged.record


def _thread(waker: Waker, stretch: Stretch, frame: Frame | None, context: Context) -> Blamed:
    """Return what a thread was: the request that it served; of one that is not told yet only its name is known."""
    known = None if waker.request is None else find(waker.request, context)
    if isinstance(known, ServedRequest):
        return _request(known, stretch, frame)
    spent_ns = stretch[1] - stretch[0]
    if known is not None:
        made = Blamed("request", named(known), spent_ns, (stretch,), frame, None, known.id, waker.pid, waker.tid)
        return made._replace(endpoint=f"{known.method or '?'} {fold(known.target)}")
    name = f"{thread_name(waker, context)} (tid {waker.tid})"
    return Blamed("thread", name, spent_ns, (stretch,), frame, None, waker.request, waker.pid, waker.tid)


def _request(record: ServedRequest, stretch: Stretch, frame: Frame | None) -> Blamed:
    return Blamed(
        kind="request",
        name=named(record),
        spent_ns=stretch[1] - stretch[0],
        stretches=(stretch,),
        frame=frame,
        record=record,
        request=record.id,
        pid=record.pid,
        tid=record.tid,
        endpoint=f"{record.method or '?'} {fold(record.target)}",
    )


def _peer(address: str, piece: Piece, context: Context) -> Blamed:
    protocol = context.traffic.protocols.get(address)
    found = context.around.services.called(piece.pid, address)
    name = f"{protocol} {address}" if protocol else address
    return Blamed("peer", name, piece.spent_ns, pid=None if found is None else found.pid)


def _process(thread: Waker, piece: Piece) -> Blamed:
    """Return the process of a thread; of one of the same process the thread."""
    if thread.pid == piece.pid:
        return Blamed("thread", f"{thread.name} (tid {thread.tid})", piece.spent_ns, pid=thread.pid, tid=thread.tid)
    return Blamed("process", f"{thread.name} (pid {thread.pid})", piece.spent_ns, pid=thread.pid)


def _place(frames: Sequence[Frame]) -> Frame | None:
    frame = telling(frames)
    return None if frame is None or is_scaffolding(frame) else frame
