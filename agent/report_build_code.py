"""Fills what a report says of the code: the places of a verdict, the stack of what hangs, where blockers were."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from perfwatch.agent import report_contract as contract
from perfwatch.agent.correlator.places import telling
from perfwatch.agent.report_build_queues import encodable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from perfwatch.agent.model import Bucket, Frame, FrameShare, OpenRequest, ServedRequest, Wait
    from perfwatch.probes.frames import StackTable
    from perfwatch.probes.records import Waker

_MAX_BLOCKERS: Final = 8
_BLOCKING: Final[frozenset[Bucket]] = frozenset({"gil", "lock", "other"})
_MOVING: Final[frozenset[Bucket]] = frozenset({"on_cpu", "run_queue"})
"""In these a thread has not stood at one place since it came into them."""


def build_frames(places: Iterable[FrameShare]) -> list[contract.Frame]:
    """Say where in the code a mechanism spent its time."""
    return [
        contract.Frame(
            function=encodable(place.function),
            file=encodable(place.file),
            line=place.line,
            share=round(place.share, 4),
            called=encodable(place.called),
        )
        for place in places
    ]


def build_open_frames(request: OpenRequest, age_ns: int, now_ns: int) -> list[contract.Frame]:
    """Say what the thread of an open request executes, the innermost frame first."""
    stood_ns = 0 if request.state in _MOVING else max(now_ns - request.state_since_ns, 0)
    share = round(min(stood_ns / age_ns, 1.0), 4) if age_ns > 0 else 0.0
    return [
        contract.Frame(function=encodable(frame.function), file=encodable(frame.file), line=frame.line, share=share)
        for frame in request.stack
    ]


def build_blockers(record: ServedRequest, total_ns: int) -> list[contract.Blocker]:
    """Sum the waits for locks by the thread that ended them, those for a CPU by the one that had it; largest first."""
    spent: dict[tuple[Bucket, Waker], Counter[Frame | None]] = {}
    for wait in record.waits:
        for key, place, spent_ns in _blamed(wait, record.code):
            spent.setdefault(key, Counter())[place] += spent_ns
    largest = sorted(spent.items(), key=lambda item: -item[1].total())[:_MAX_BLOCKERS]
    return [_blocker(kind, thread, places, total_ns) for (kind, thread), places in largest]


def _blocker(kind: Bucket, thread: Waker, places: Counter[Frame | None], total_ns: int) -> contract.Blocker:
    place = next((place for place, _ in places.most_common() if place is not None), None)
    return contract.Blocker(
        kind=kind,
        pid=thread.pid,
        tid=thread.tid,
        thread=thread.name,
        request=thread.request,
        function=None if place is None else encodable(place.function),
        file=None if place is None else encodable(place.file),
        line=None if place is None else place.line,
        share=round(places.total() / total_ns, 4) if total_ns > 0 else 0.0,
    )


def _blamed(wait: Wait, code: StackTable) -> Iterator[tuple[tuple[Bucket, Waker], Frame | None, int]]:
    """Say who kept a thread waiting, from where in the code, and for how long; a quota is nobody's fault."""
    if wait.waker is not None and wait.bucket in _BLOCKING:
        yield (wait.bucket, wait.waker), telling(code.stack(wait.waker_stack)), wait.blocked_ns
    queued_ns = wait.runnable_ns - wait.throttled_ns
    if wait.ahead is not None and queued_ns > 0:
        yield ("run_queue", wait.ahead), None, queued_ns
