"""A request as stretches of time, one after the other: what the waterfall draws; pure.

The waits of 1 ms or more were recorded one by one. Between them the thread ran, or waited for less than that
each time: such a stretch is drawn as running. The ledger below the waterfall has both, exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.correlator.keepers import name
from perfwatch.tui.format import clean, duration_ns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model import Bucket, OpenRequest, ServedRequest, Wait

_MAX_SEGMENTS: Final = 2_000
_SHORTEST_NS: Final = 50_000


class Segment(msgspec.Struct, frozen=True):
    """One stretch of a request."""

    start_ns: int
    length_ns: int
    bucket: Bucket
    note: str
    """What it waited in or for, and who ended it; harmless to show."""
    blamed: int | None = None
    """Id of the request that the thread which ended the wait, or had the CPU meanwhile, was serving."""


def of_served(record: ServedRequest) -> tuple[Segment, ...]:
    """Cut a finished request into its stretches, in order of time."""
    return tuple(_bounded(_served(record)))


def of_open(request: OpenRequest, state_ns: int) -> tuple[Segment, ...]:
    """Cut a request that has not ended: what is known is its queue wait, and its state for so long already."""
    started, since = request.started_ns, request.state_since_ns
    segments = [_running(started, since, "and waits, so far")] if since > started else []
    if request.arrived_ns is not None and request.arrived_ns < started:
        segments.insert(0, _queued(request.arrived_ns, started))
    note = " ".join(clean(part) for part in (request.call, request.detail, request.peer) if part)
    return (*segments, Segment(since, state_ns, request.state, f"{note} still".strip()))


def _bounded(segments: Iterator[Segment]) -> Iterator[Segment]:
    for number, segment in enumerate(segments):
        if number >= _MAX_SEGMENTS:
            return
        yield segment


def _served(record: ServedRequest) -> Iterator[Segment]:
    arrived, cursor = record.arrived_ns, record.started_ns
    # A loop that was busy with others when it came in: that wait begins before anybody read of it.
    read_ns = min(cursor, record.waits[0].started_ns) if record.waits else cursor
    if arrived is not None and read_ns - arrived >= _SHORTEST_NS:
        yield _queued(arrived, read_ns)
    for wait in record.waits:
        if wait.started_ns - cursor >= _SHORTEST_NS:
            yield _running(cursor, wait.started_ns, "")
        yield from _waited(wait, record)
        cursor = max(cursor, wait.started_ns + wait.blocked_ns + wait.runnable_ns)
    if record.ended_ns - cursor >= _SHORTEST_NS:
        note = f"and {record.waits_lost} waits that were not delivered" if record.waits_lost else ""
        yield _running(cursor, record.ended_ns, note)


def _queued(start: int, end: int) -> Segment:
    return Segment(start, end - start, "queue", "until a thread read it")


def _running(start: int, end: int, note: str) -> Segment:
    return Segment(start, end - start, "on_cpu", note)


def _waited(wait: Wait, record: ServedRequest) -> Iterator[Segment]:
    if wait.blocked_ns > 0:
        yield Segment(wait.started_ns, wait.blocked_ns, wait.bucket, _note(wait, record), _blamed(wait))
    if wait.runnable_ns >= _SHORTEST_NS:
        woken = wait.started_ns + wait.blocked_ns
        ahead = wait.ahead.request if wait.ahead is not None else None
        yield Segment(woken, wait.runnable_ns, "run_queue", _queue_note(wait), ahead)


def _note(wait: Wait, record: ServedRequest) -> str:
    if wait.bucket == "loop" and (keeper := _keeper(wait, record)):
        return clean(f"kept by {keeper}")
    about = _asked(wait, record) or wait.peer or " ".join(part for part in (wait.call, wait.detail) if part)
    if wait.waker is None:
        return clean(about)
    waker = f"woken by {wait.waker.name} {wait.waker.tid}"
    return clean(f"{waker}, {about}" if about else waker)


def _keeper(wait: Wait, record: ServedRequest) -> str | None:
    """Name the request that kept the loop, where it is known."""
    culprit = next((one for one in record.culprits if wait.waker and one.request == wait.waker.request), None)
    return None if culprit is None else name(culprit.method, culprit.target, culprit.request)


def _asked(wait: Wait, record: ServedRequest) -> str | None:
    """Say what was asked and of whom, where most of a wait was for one call."""
    until_ns = wait.started_ns + wait.blocked_ns
    for call in record.calls:
        covered_ns = min(call.ended_ns, until_ns) - max(call.started_ns, wait.started_ns)
        if call.peer == wait.peer and call.operation and 2 * covered_ns > wait.blocked_ns:
            return f"{call.operation}  {call.peer}"
    return None


def _queue_note(wait: Wait) -> str:
    """Say why a thread that could run had no CPU."""
    notes = ["woken" if wait.blocked_ns else "preempted"]
    if wait.throttled_ns > 0:
        notes.append(f"its quota used up for {duration_ns(wait.throttled_ns)}")
    if wait.ahead is not None:
        notes.append(f"behind {wait.ahead.name} {wait.ahead.tid}")
    return clean(", ".join(notes if len(notes) > 1 else (*notes, "no CPU free")))


def _blamed(wait: Wait) -> int | None:
    return wait.waker.request if wait.waker is not None else None
