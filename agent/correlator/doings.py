"""What a request, or a thread that serves none, did in given stretches of time: by mechanism, as far as that is known.

Of a request the waits of 1 ms or more have their times. What lies between them is known as sums only, for the whole
request: of those as much is said as must lie in the stretches wherever in the rest it was. Of a thread outside of
requests such waits are known too, once it has kept a request waiting; for the rest of the time the readings of its
stack stand, evenly.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from perfwatch.agent.correlator.permits import awaited
from perfwatch.agent.correlator.refining import pooled
from perfwatch.agent.correlator.series import Span
from perfwatch.agent.model import BUCKETS, Bucket, Mechanism, ServedRequest, arrival_of, resumed_at
from perfwatch.probes.frames import StackTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.correlator.code import Code, Sighting
    from perfwatch.agent.model import Frame, Wait

Stretch: TypeAlias = tuple[int, int]
MECHANISM_OF: Final[dict[Bucket, Mechanism]] = {
    "queue": "queue",
    "on_cpu": "cpu",
    "gil": "gil",
    "lock": "lock",
    "loop": "event-loop",
    "run_queue": "run-queue",
    "disk": "disk",
    "fault": "memory",
    "calls": "dependency",
    "sleep": "sleep",
    "receive": "network",
    "send": "network",
    "child": "dependency",
}
"""What time in a bucket is due to, as long as nothing more is asked; of `other` that is not known."""
_QUEUE, _LOOP = BUCKETS.index("queue"), BUCKETS.index("loop")
_PIPES: Final = ("pipe_", "anon_pipe_", "fifo_")
_FEWEST_READINGS: Final = 3
_MOST_READINGS: Final = 1024
_CALLS: Final[dict[str, Mechanism]] = {
    "sleep": "sleep",
    **dict.fromkeys(("recv", "recv_into", "recvfrom", "recvmsg", "connect", "getaddrinfo"), "dependency"),
    **dict.fromkeys(("acquire", "flock", "lockf"), "lock"),
    **dict.fromkeys(("fsync", "fdatasync"), "disk"),
    **dict.fromkeys(("waitpid", "wait4"), "dependency"),
}
"""What a thread does that stands in a call of this name into C."""


class Piece(NamedTuple):
    """A part of these stretches, and what it was spent on."""

    mechanism: Mechanism | None
    """None: that is not known."""
    spent_ns: int
    record: ServedRequest | None = None
    """Whose it was; None of a thread outside of requests."""
    wait: Wait | None = None
    """The wait that it is a part of; None where it is a sum."""
    from_ns: int = 0
    until_ns: int = 0
    pid: int = 0
    code: StackTable = StackTable()
    """In which the stack of whoever ended the wait is told."""


def of_request(record: ServedRequest, stretches: Sequence[Stretch]) -> list[Piece]:
    """Return what a request did: first its waits, in order, then the sums of the rest."""
    inside = within(stretches, record.started_ns, record.ended_ns)
    queued, waited = list(_queued(record, stretches)), list(_waits(record, inside))
    pieces = [*queued, *waited]
    short_ns = dict(zip(BUCKETS, record.booked_ns, strict=True))
    short_ns["queue"] = 0
    whole_ns = record.ended_ns - record.started_ns
    for wait in record.waits:
        if wait.bucket != "run_queue":
            short_ns[wait.bucket] -= wait.blocked_ns
        short_ns["run_queue"] -= wait.runnable_ns
        whole_ns -= wait.blocked_ns + wait.runnable_ns
    asked_ns = length(inside) - sum(one.spent_ns for one in waited)
    elsewhere_ns = max(whole_ns - asked_ns, 0)
    left_ns = asked_ns
    for bucket, spent_ns in short_ns.items():
        certain_ns = min(spent_ns - elsewhere_ns, left_ns)
        if certain_ns > 0:
            pieces.append(Piece(MECHANISM_OF.get(bucket), certain_ns, record, pid=record.pid))
            left_ns -= certain_ns
    return pieces if left_ns <= 0 else [*pieces, Piece(None, left_ns, record)]


def of_thread(tid: int, stretches: Sequence[Stretch], code: Code) -> list[Piece]:
    """Return what a thread did that served no request then: its waits, and the rest as readings of its stack tell."""
    pieces: list[Piece] = []
    seen: list[Sighting] = []
    for stretch in stretches:
        span = Span(*stretch)
        waits = code.waits(tid, span)
        for one in waits:
            pieces += _pieces(one.wait, [stretch], None, one.pid, one.code)
        waited = [(one.wait.started_ns, resumed_at(one.wait)) for one in waits]
        readings = code.sightings(tid, span)[:_MOST_READINGS]
        seen += [one for one in readings if not any(start <= one.at_ns < end for start, end in waited)]
    left_ns = length(stretches) - sum(one.spent_ns for one in pieces)
    if len(seen) < _FEWEST_READINGS:
        return [*pieces, Piece(None, left_ns)] if left_ns > 0 else pieces
    told = Counter(_did(one) for one in seen)
    return [*pieces, *(Piece(mechanism, left_ns * count // len(seen)) for mechanism, count in told.items())]


def within(stretches: Sequence[Stretch], from_ns: int, until_ns: int) -> list[Stretch]:
    """Return the parts of stretches that lie between two moments."""
    cut = ((max(start, from_ns), min(end, until_ns)) for start, end in stretches)
    return [(start, end) for start, end in cut if start < end]


def length(stretches: Sequence[Stretch]) -> int:
    """Return how long stretches are, which do not overlap."""
    return sum(end - start for start, end in stretches)


def mechanism_of(wait: Wait) -> Mechanism | None:
    """Return why a wait lasted, by itself."""
    if pooled(wait):
        return "pool"
    if wait.bucket == "other" and wait.detail is not None and wait.detail.startswith(_PIPES):
        return "dependency"
    return MECHANISM_OF.get(wait.bucket)


def _queued(record: ServedRequest, stretches: Sequence[Stretch]) -> Iterator[Piece]:
    """Yield when it was not read yet: no worker was free, or its event loop was busy."""
    by_loop = record.threads == "followed" and record.booked_ns[_LOOP] > record.booked_ns[_QUEUE]
    for start, end in within(stretches, arrival_of(record), record.started_ns):
        yield Piece("event-loop" if by_loop else "queue", end - start, record, None, start, end, record.pid)


def _waits(record: ServedRequest, stretches: Sequence[Stretch]) -> Iterator[Piece]:
    for wait in record.waits:
        yield from _pieces(wait, stretches, record, record.pid, record.code)


def _pieces(
    wait: Wait, stretches: Sequence[Stretch], record: ServedRequest | None, pid: int, code: StackTable
) -> Iterator[Piece]:
    """Yield the parts of a wait that lie in some stretches: blocked first, then ready without a CPU."""
    woken_ns = wait.started_ns + wait.blocked_ns
    for start, end in within(stretches, wait.started_ns, woken_ns):
        yield Piece(mechanism_of(wait), end - start, record, wait, start, end, pid, code)
    for start, end in within(stretches, woken_ns, resumed_at(wait)):
        is_throttled = 2 * wait.throttled_ns > wait.runnable_ns
        yield Piece("throttle" if is_throttled else "run-queue", end - start, record, wait, start, end, pid, code)


def _did(seen: Sighting) -> Mechanism | None:
    frames = seen.frames
    if frames and frames[0].is_native:
        known = _CALLS.get(frames[0].function.rpartition(".")[2])
        if known is not None:
            return known
    if _waits_for_lock(frames):
        return "lock"
    return "cpu" if seen.holds_gil else None


def _waits_for_lock(frames: Sequence[Frame]) -> bool:
    known = awaited(frames)
    return known is not None and known.kind == "lock"
