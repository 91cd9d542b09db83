"""Requests that do not end: a deadlock has no slow request to show, only open ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from perfwatch.agent.correlator.findings import counted
from perfwatch.agent.correlator.judge import judge
from perfwatch.agent.correlator.pooling import Pool, verdict_on
from perfwatch.agent.correlator.routes import fold
from perfwatch.agent.correlator.wording import duration
from perfwatch.agent.model import Ledger, OpenRequest, Request, ServedRequest, Verdict, Wait, arrival_of
from perfwatch.probes.frames import StackTable
from perfwatch.probes.records import Peer, Ran

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.correlator.context import Context

Fidelity: TypeAlias = Literal["exact", "sampled"]
URGENT_NS: Final = 30_000_000_000


class Hanging(NamedTuple):
    """What the requests that hang have in common."""

    age_ns: int
    """Of all of them together."""
    oldest_ns: int
    verdict: Verdict


def hanging(requests: Sequence[OpenRequest], at_ns: int, context: Context, fidelity: Fidelity) -> Hanging:
    """Judge open requests (at least one), as of the moment up to which their time is booked."""
    pool = Pool()
    for request in (as_request(one, at_ns, fidelity) for one in requests):
        pool.add(request.record.id, request.ledger.booked_ns, judge(request, context))
    oldest = max(requests, key=lambda one: age_ns_of(one, at_ns))
    oldest_ns = age_ns_of(oldest, at_ns)
    name = f"{oldest.method or '?'} {fold(oldest.target)}"
    what = f"{counted(len(requests), 'request')} in flight, the oldest {name} for {duration(oldest_ns)}"
    return Hanging(pool.total_ns, oldest_ns, verdict_on(what, pool).verdict)


def age_ns_of(request: OpenRequest, at_ns: int) -> int:
    """Return how long a request has been in the system."""
    arrived_ns = arrival_of(request)
    return max(at_ns - arrived_ns, 0)


def as_request(request: OpenRequest, at_ns: int, fidelity: Fidelity) -> Request:
    """Return an open request as if it had ended now; what its thread does at present is its one wait."""
    blocked_ns = max(at_ns - request.state_since_ns, 0)
    running, runnable = request.state == "on_cpu", request.state == "run_queue"
    now = Wait(
        started_ns=request.state_since_ns,
        blocked_ns=0 if runnable else blocked_ns,
        runnable_ns=blocked_ns if runnable else 0,
        bucket=request.state,
        call=request.call,
        detail=request.detail,
        peer=request.peer,
        waker=None,
        stack=0 if request.stack else None,
    )
    record = ServedRequest(
        at_ns=at_ns,
        id=request.id,
        connection=0,
        pid=request.pid,
        tid=request.tid,
        arrived_ns=request.arrived_ns,
        started_ns=request.started_ns,
        ended_ns=at_ns,
        method=request.method,
        target=request.target,
        status=None,
        booked_ns=request.booked_ns,
        peers=(Peer(request.peer, blocked_ns, 1),) if request.peer else (),
        waits=() if running else (now,),
        received_bytes=0,
        sent_bytes=0,
        local=request.local,
        remote="",
        outcome="aborted",
        threads=request.threads,
        throttled_ns=request.throttled_ns,
        fidelity=fidelity,
        gc_ns=request.gc_ns,
        code=StackTable(request.stack, (tuple(range(len(request.stack))),)) if request.stack else StackTable(),
        ran=(Ran(at_ns, 0),) if running and request.stack else (),
    )
    ledger = Ledger(age_ns_of(request, at_ns), request.booked_ns)
    return Request(record, fold(request.target), ledger, slow=True, verdict=None)
