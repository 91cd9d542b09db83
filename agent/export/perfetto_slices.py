"""Requests and their calls as slices of a Perfetto trace, with what each waited for inside of it, and its verdict."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from perfwatch.agent.call_bars import stretches
from perfwatch.agent.correlator.call_times import PARTS, spent
from perfwatch.agent.correlator.places import telling
from perfwatch.agent.export.perfetto_trace import Slice
from perfwatch.agent.export.stacks import spelled
from perfwatch.agent.model import BUCKETS, arrival_of, resumed_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.export.perfetto_threads import Threads
    from perfwatch.agent.export.perfetto_trace import Told, Trace
    from perfwatch.agent.model import Call, Frame, Request, Wait
    from perfwatch.probes.frames import StackTable

_MAX_FRAMES: Final = 64
_MASK: Final = 2**64 - 1


class Slices:
    """Writes requests, each with its calls."""

    def __init__(self, trace: Trace, threads: Threads) -> None:
        self._trace, self._threads = trace, threads
        self._numbers = count(1)

    def put(self, request: Request) -> None:
        """Write a request to the track of its endpoint, and to that of its thread if it had one to itself."""
        record = request.record
        calls = tuple(2 * next(self._numbers) for _ in record.calls)
        callees = (_arrow_to(callee.request) for callee in request.callees)
        one = _slice(request)._replace(arrows=(*calls, *callees, _arrow_to(record.id)))
        self._trace.put(self._trace.track(" ".join(request.endpoint), self._trace.track("Requests")), one)
        if record.threads == "one":
            read_ns = max(record.started_ns, one.begin_ns)
            on_thread = one._replace(begin_ns=read_ns, told={"id": record.id}, arrows=())
            self._trace.put(self._threads.track(record.pid, record.tid), on_thread)
        for arrow, call in zip(calls, record.calls, strict=True):
            peer = self._trace.track(call.peer, self._trace.track("Calls"))
            self._trace.put(peer, _call_slice(call, record.code)._replace(arrows=(arrow,)))


def _arrow_to(request: int) -> int:
    """Return the number of the arrow to a request from its caller; those from requests to their calls are even."""
    return (2 * request + 1) & _MASK


def _slice(request: Request) -> Slice:
    record, ledger, verdict = request.record, request.ledger, request.verdict
    told: dict[str, Told | str | float | None] = {
        "id": record.id,
        "target": record.target,
        "status": record.status,
        "outcome": record.outcome,
        "pid": record.pid,
        "thread": record.tid if record.threads == "one" else None,
        "slow": "yes" if request.slow else "no",
        "ledger ms": {bucket: ledger[bucket] / 1e6 for bucket in BUCKETS if ledger[bucket]}
        | {"unaccounted": ledger.unaccounted_ns / 1e6},
    }
    if verdict is not None:
        judged = {"principle": verdict.principle, "mechanism": verdict.mechanism, "summary": verdict.summary}
        told["verdict"] = judged | {"share": verdict.share, "confidence": verdict.confidence}
    began_ns = arrival_of(record)
    queued = Slice(began_ns, record.started_ns, "queue")
    waits = (part for wait in record.waits for part in wait_slices(wait, record.code))
    return Slice(began_ns, record.ended_ns, " ".join(request.endpoint), told, (queued, *waits))


def _call_slice(call: Call, code: StackTable) -> Slice:
    parts = stretches(call.started_ns, spent(call), PARTS)
    inner = tuple(Slice(int(begin), int(end), part) for part, begin, end in parts)
    told = {
        "protocol": call.protocol,
        "outcome": call.outcome,
        "sent bytes": call.sent_bytes,
        "received bytes": call.received_bytes,
        "thread": call.tid,
        **_places(code.stack(call.stack)),
    }
    name = call.operation or ("call" if call.protocol == "unknown" else call.protocol)
    return Slice(call.started_ns, call.ended_ns, name, told, inner)


def wait_slices(wait: Wait, code: StackTable) -> Iterator[Slice]:
    """Yield what a thread did not run for: first blocked, then without a CPU."""
    woken_ns = wait.started_ns + wait.blocked_ns
    waker = wait.waker
    told = {
        "system call": wait.call,
        "peer": wait.peer,
        "detail": wait.detail,
        "ended by": None if waker is None else f"{waker.name} (tid {waker.tid})",
        "ended by request": None if waker is None else waker.request,
        **_places(code.stack(wait.stack)),
    }
    if wait.blocked_ns > 0:
        yield Slice(wait.started_ns, woken_ns, wait.bucket, told)
    if wait.runnable_ns > 0:
        yield Slice(woken_ns, resumed_at(wait), "run_queue", {"throttled ms": wait.throttled_ns / 1e6})


def _places(stack: Sequence[Frame]) -> dict[str, str | None]:
    """Return where in the code that was: the line that tells most, and the whole stack, the innermost first."""
    where = telling(stack)
    return {
        "in": None if where is None else spelled(where),
        "stack": "; ".join(map(spelled, stack[:_MAX_FRAMES])) or None,
    }
