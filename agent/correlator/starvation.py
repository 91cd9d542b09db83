"""Waits for the GIL, and to be read, that are somebody else's waits for a CPU.

Whoever waits for the interpreter lock waits for its holder. Where the holders have no CPU, because others have them
or because their cgroup has used up its quota, the rest of the process books that time as `gil`. It is shared out as
the request's own time was, which was spent in the same company: `throttled` and the rest of `run_queue` to all of it
that was not spent waiting for the GIL.

The throttled part moves always: contention for the GIL throttles nobody. The rest moves only on a host whose CPUs are
full, and where running was the smaller part; contention alone leaves next to no run queue, because one thread at a
time wants a CPU. A request that ran and queued for less than 1 ms in all tells nothing of its holders.

A request that nobody has read waits for a worker where its process serves others meanwhile. Where that serves nobody
for most of the time, on a host whose CPUs are full, its worker was free, and had no CPU.

Sampling does not see throttling itself. There, a wait for a CPU counts as throttled where CPUs were free and a cgroup
of the target had used up its quota in at least half of its periods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.findings import span_of
from perfwatch.agent.model import arrival_of

if TYPE_CHECKING:
    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.model import Request, ServedRequest

_TELLING_NS: Final = 1_000_000
_MOSTLY: Final = 0.5


class Starved(NamedTuple):
    """Parts of a request's GIL time."""

    throttled_ns: int
    """Its holders' cgroup had used up its quota."""
    queued_ns: int
    """Its holders had no CPU for another reason."""

    @property
    def total_ns(self) -> int:
        """Both."""
        return self.throttled_ns + self.queued_ns


def starved(request: Request, context: Context) -> Starved:
    """Return how much of the request's GIL time was its holders' waiting for a CPU."""
    gil_ns, running_ns = max(request.ledger["gil"], 0), max(request.ledger["on_cpu"], 0)
    throttled_ns = throttled_of(request, context)
    queued_ns = max(request.ledger["run_queue"], 0) - throttled_ns
    company_ns = throttled_ns + queued_ns + running_ns
    if not gil_ns or company_ns < _TELLING_NS:
        return Starved(0, 0)
    crowded = context.host.full and throttled_ns + queued_ns > running_ns
    return Starved(
        throttled_ns=gil_ns * throttled_ns // company_ns,
        queued_ns=gil_ns * queued_ns // company_ns if crowded else 0,
    )


def throttled_of(request: Request, context: Context) -> int:
    """Return how much of `run_queue` was throttled, as far as it is booked there."""
    queued_ns = max(request.ledger["run_queue"], 0)
    if queued_ns and request.record.fidelity == "sampled":
        limit = None if context.host.full else context.around.cgroups.throttled(span_of(request))
        return queued_ns if limit is not None and (limit.throttled or 0.0) >= _MOSTLY else 0
    return min(max(request.record.throttled_ns, 0), queued_ns)


def unread_ns(request: Request, context: Context) -> int:
    """Return how long a request was not read because whoever would have read it had no CPU."""
    record = request.record
    queue_ns = request.ledger["queue"]
    if record.threads != "one" or record.fidelity != "exact" or queue_ns < _TELLING_NS or not context.host.full:
        return 0
    left_ns = queue_ns - _served_ns(record, context)
    return left_ns if left_ns > _MOSTLY * queue_ns else 0


def _served_ns(record: ServedRequest, context: Context) -> int:
    """Return for how long other requests of its process were under way before it was read."""
    until_ns = record.started_ns
    served_ns, at_ns = 0, arrival_of(record)
    for began_ns, ended_ns in sorted(context.traffic.under_way(record, until_ns)):
        end_ns = min(ended_ns, until_ns)
        served_ns += max(end_ns - max(began_ns, at_ns), 0)
        at_ns = max(at_ns, end_ns)
    return served_ns
