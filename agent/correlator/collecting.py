"""How much of a request's CPU time the garbage collector took, and on whose threads it ran meanwhile.

The exact ledger counts it. Where its interpreter allowed no probe for that, the collector's runs that were seen by
other means are laid over the request: what its thread did not wait in them, it ran.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING

from perfwatch.agent.correlator.series import Span
from perfwatch.agent.model import resumed_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from perfwatch.agent.correlator.code import Code
    from perfwatch.agent.model import Bucket, Request, ServedRequest
    from perfwatch.probes.frames import GcPause


def gc_ns_of(request: Request, code: Code) -> int:
    """Return how much of `on_cpu` its thread spent collecting."""
    on_cpu_ns = max(request.ledger["on_cpu"], 0)
    if request.record.gc_ns > 0 or not on_cpu_ns:
        return min(max(request.record.gc_ns, 0), on_cpu_ns)
    return min(_ran_ns(own_pauses(request.record, code), request.record), on_cpu_ns)


def is_estimate(request: Request, code: Code) -> bool:
    """Whether the length of its collector's runs is known from a few readings of stacks only."""
    return request.record.gc_ns <= 0 and any(pause.source == "polled" for pause in own_pauses(request.record, code))


def own_pauses(record: ServedRequest, code: Code) -> list[GcPause]:
    """Return the runs of the collector on its thread, in order of time."""
    if record.threads != "one":
        return []
    span = Span(record.started_ns, record.ended_ns)
    return [pause for pause in code.pauses(record.pid, span) if pause.tid == record.tid]


def overlap_ns(some: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> int:
    """Return how long two lists of stretches, each in order of time, overlap."""
    found = first = second = 0
    while first < len(some) and second < len(others):
        (start, end), (other_start, other_end) = some[first], others[second]
        found += max(min(end, other_end) - max(start, other_start), 0)
        if end <= other_end:
            first += 1
        else:
            second += 1
    return found


def is_inside(at_ns: int, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether a moment lies in one of these stretches, which are in order of time."""
    number = bisect_right(spans, at_ns, key=itemgetter(0)) - 1
    return number >= 0 and at_ns < spans[number][1]


def stretches(pauses: Iterable[GcPause]) -> list[tuple[int, int]]:
    """Return when runs of the collector began and ended."""
    return [(pause.started_ns, pause.started_ns + pause.paused_ns) for pause in pauses]


def blocked_for(record: ServedRequest, bucket: Bucket) -> list[tuple[int, int]]:
    """Return when a request was blocked for one reason, for 1 ms or more, in order of time."""
    return [(one.started_ns, one.started_ns + one.blocked_ns) for one in record.waits if one.bucket == bucket]


def _ran_ns(pauses: Iterable[GcPause], record: ServedRequest) -> int:
    """Return how much of these pauses its thread ran: as they say themselves, else what it did not wait in them."""
    ran_ns, untold = 0, []
    for pause in pauses:
        start = max(pause.started_ns, record.started_ns)
        end = min(pause.started_ns + pause.paused_ns, record.ended_ns)
        if pause.cpu_ns is not None and end - start == pause.paused_ns:
            ran_ns += min(max(pause.cpu_ns, 0), pause.paused_ns)
        else:
            untold.append((start, end))
    waits = [(wait.started_ns, resumed_at(wait)) for wait in record.waits]
    return ran_ns + max(sum(end - start for start, end in untold) - overlap_ns(untold, waits), 0)
