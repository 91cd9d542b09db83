"""The whole latency of a request by code and reason: what its time was spent on, and where in the code.

Each wait of 1 ms or more has its own stack: its blocked time goes there under its own reason, its time on a run queue
under `run_queue`. The readings that found the thread on a CPU come at even distances of CPU time, so that they share
`on_cpu` evenly; those that fell into a run of the garbage collector share its part.

The time for other services is told by its calls (`calling.py`): those too that were too short to be waits of 1 ms.

Where the kernel walked no stacks (the sampled fidelity), those that were read from outside meanwhile take their
place: one inside of a wait is that wait's, any other is one on a CPU.

Of a request that shares its thread with others no ledger is known; if the middleware told its call tree, the time is
that tree's, under `other`: where, but not why.

All of it adds up to the latency. What has no stack stands without frames: waits below 1 ms, what came before the
request was read, and under `other` also what is unaccounted. A ledger that claims more than the latency is scaled
down to it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.booked import within_total
from perfwatch.agent.correlator.calling import divide
from perfwatch.agent.correlator.collecting import gc_ns_of, is_inside, own_pauses, stretches
from perfwatch.agent.correlator.refining import pooled
from perfwatch.agent.correlator.series import Span
from perfwatch.agent.correlator.stack_sums import StackSums
from perfwatch.agent.model import BUCKETS, Bucket, Frame, Ledger, Mechanism, Request, StackTime, Wait, resumed_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.correlator.code import Code
    from perfwatch.probes.frames import Span as Told
    from perfwatch.probes.records import ServedRequest

EXACT: Final = frozenset({"one", "followed"})
"""How a request must have been served for its ledger to be its own."""
_MAX_WAITS: Final = 512
_MAX_READINGS: Final = 512


class _Reading(NamedTuple):
    at_ns: int
    frames: tuple[Frame, ...]


class _Booking:
    """A ledger's buckets while they are given to stacks: none can be overdrawn."""

    def __init__(self, ledger: Ledger) -> None:
        self.left = _whole(ledger)
        self.sums = StackSums()

    def book(
        self,
        frames: tuple[Frame, ...],
        bucket: Bucket,
        spent_ns: int,
        *,
        is_gc: bool = False,
        mechanism: Mechanism | None = None,
    ) -> None:
        """Give time to a stack, as far as it is left."""
        taken = min(max(spent_ns, 0), self.left[bucket])
        if taken:
            self.left[bucket] -= taken
            self.sums.book(frames, bucket, taken, is_gc=is_gc, mechanism=mechanism)

    def share(self, readings: Sequence[_Reading], bucket: Bucket, spent_ns: int, *, is_gc: bool = False) -> None:
        """Give time to the stacks of readings, evenly; it stays without frames where there are none."""
        spent_ns = min(max(spent_ns, 0), self.left[bucket])
        if not readings:
            self.book((), bucket, spent_ns, is_gc=is_gc)
        for number, reading in enumerate(readings):
            first, last = (spent_ns * place // len(readings) for place in (number, number + 1))
            self.book(reading.frames, bucket, last - first, is_gc=is_gc)

    def times(self) -> tuple[StackTime, ...]:
        """Return what was given, and what is left without frames."""
        for bucket in BUCKETS:
            self.book((), bucket, self.left[bucket])
        return self.sums.times()


def stack_times(request: Request, code: Code) -> tuple[StackTime, ...]:
    """Return the latency by stack and reason, the largest first, at most 256; costs 20-80 us."""
    booking, record = _Booking(request.ledger), request.record
    if record.threads not in EXACT:
        return _as_told(booking, code.spans.of(record))
    waits = record.waits[:_MAX_WAITS]
    inside, running = _sorted_out(waits, _sighted(record, code))
    if record.calls:
        _book_calls(booking, request)
    for number, wait in enumerate(waits):
        frames = record.code.stack(wait.stack)
        if frames:
            mechanism: Mechanism | None = "pool" if pooled(wait) else None
            booking.book(frames, wait.bucket, wait.blocked_ns, mechanism=mechanism)
            booking.book(frames, "run_queue", wait.runnable_ns)
        elif number in inside:
            booking.share(inside[number], wait.bucket, wait.blocked_ns)
            booking.share(inside[number], "run_queue", wait.runnable_ns)
    ran = [_Reading(one.at_ns, record.code.stack(one.stack)) for one in record.ran[:_MAX_READINGS]]
    _book_running(booking, request, ran or running, code)
    return booking.times()


def _book_calls(booking: _Booking, request: Request) -> None:
    """Give the time for other services to the stacks of its waits, else to those of its calls."""
    table = request.record.code
    for one in divide(request.record, booking.left["calls"]):
        place = one.wait.stack if one.wait is not None and one.wait.stack is not None else None
        if place is None and one.call is not None:
            place = one.call.stack
        mechanism = None if one.part == "dependency" else one.part
        booking.book(table.stack(place), "calls", one.spent_ns, mechanism=mechanism)


def _as_told(booking: _Booking, span: Told | None) -> tuple[StackTime, ...]:
    """Give the time to the stacks that the middleware told, as far as it reaches."""
    if span is not None:
        for place, spent_ns in zip(range(len(span.code.stacks)), span.spent_ns, strict=False):
            booking.book(span.code.stack(place), "other", spent_ns)
    return booking.times()


def _book_running(booking: _Booking, request: Request, readings: list[_Reading], code: Code) -> None:
    gc_ns = gc_ns_of(request, code)
    pauses = stretches(own_pauses(request.record, code)) if gc_ns else []
    collecting: list[_Reading] = []
    computing: list[_Reading] = []
    for reading in readings:
        (collecting if is_inside(reading.at_ns, pauses) else computing).append(reading)
    booking.share(collecting, "on_cpu", gc_ns, is_gc=True)
    booking.share(computing, "on_cpu", booking.left["on_cpu"])


def _sighted(record: ServedRequest, code: Code) -> list[_Reading]:
    """Return what its thread was seen doing from outside, where the kernel did not say; at most 512, evenly spread."""
    is_told = record.ran and all(wait.stack is not None for wait in record.waits)
    if is_told or record.threads != "one":
        return []
    seen = code.sightings(record.tid, Span(record.started_ns, record.ended_ns))
    return [_Reading(one.at_ns, one.frames) for one in seen[:: len(seen) // _MAX_READINGS + 1]]


def _sorted_out(
    waits: Sequence[Wait], readings: Sequence[_Reading]
) -> tuple[dict[int, list[_Reading]], list[_Reading]]:
    """Return the readings that lie in waits, by the number of the wait, and those that lie in none."""
    if not readings:
        return {}, []
    starts = [wait.started_ns for wait in waits]
    inside: dict[int, list[_Reading]] = {}
    running = []
    for reading in readings:
        number = bisect_right(starts, reading.at_ns) - 1
        if number >= 0 and reading.at_ns < resumed_at(waits[number]):
            inside.setdefault(number, []).append(reading)
        else:
            running.append(reading)
    return inside, running


def _whole(ledger: Ledger) -> dict[Bucket, int]:
    """Return the buckets, made to add up to the latency: `other` has what is unaccounted too."""
    booked = within_total(ledger)
    booked["other"] += max(ledger.total_ns, 0) - sum(booked.values())
    return booked
