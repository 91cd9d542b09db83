"""Why a request waited for a worker: the listening socket, how full it was, and what the workers did meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import DOING, Explanation, amount, counted, share, span_of
from perfwatch.agent.correlator.wording import size
from perfwatch.agent.model import Bucket, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.correlator.series import Span
    from perfwatch.agent.model import Request

_COMPUTING: Final[frozenset[Bucket]] = frozenset({"on_cpu", "gil", "run_queue"})
_OVERFLOW_ADVICE: Final = (
    "The accept queue overflowed, and clients had to try again. Where bursts fill it, raise the backlog "
    "(listen, net.core.somaxconn); where it is always full, that only makes the line longer."
)


def explain_queue(request: Request, context: Context) -> Explanation:
    """Say what the workers were busy with, and how many others stood in line."""
    record, span = request.record, span_of(request)
    evidence = [amount("queue", request.ledger["queue"], "its bytes waited {} until a worker read them")]
    beside = context.traffic.beside(record, record.started_ns)
    most = beside.most
    if most is not None:
        bucket, part = most
        others = counted(beside.requests, "other request")
        doing = f"{part * 100:.0f} % of their time {DOING[bucket]}"
        text = f"meanwhile {others} of process {record.pid} spent {doing}"
        evidence.append(Evidence("busy_with", bucket, text))
    evidence += _line(record.local, span, context)
    overflows = _overflows(record.local, span, context)
    if overflows:
        text = f"{counted(overflows, 'connection')} met a full accept queue"
        evidence.append(Evidence("overflows", overflows, text))
    if context.host.cpu_use is not None:
        evidence.append(share("cpu_use", context.host.cpu_use, "the host's CPUs were {} busy"))
    advice = _advice(most[0] if most else None, full=context.host.full)
    return Explanation(tuple(evidence), (advice[0], _OVERFLOW_ADVICE, *advice[1:]) if overflows else advice)


def _overflows(local: str, span: Span, context: Context) -> int:
    """Return how many connections met a full accept queue; those of the whole network only where this one was full."""
    rate, accepting = context.around.sockets.rate(span), context.around.sockets.accepting(local, span)
    overflows = 0 if rate is None else rate.overflows or 0
    if accepting is None or accepting.backlog >= accepting.backlog_max or accepting.turned_away:
        return overflows
    return 0


def _line(local: str, span: Span, context: Context) -> Iterator[Evidence]:
    """Say how many stood in line at the listening socket, and how much stood unread behind it."""
    accepting = context.around.sockets.accepting(local, span)
    if accepting is None:
        return
    room = f", where {accepting.backlog_max} may" if accepting.backlog_max > 0 else ""
    most = f"at most {counted(accepting.backlog, 'connection')}" if accepting.backlog else "no connection"
    waiting = f"{most} waited to be accepted{room}"
    yield Evidence("listener", local, f"it came in at {local}: {waiting}")
    yield Evidence("backlog", accepting.backlog, waiting)
    if accepting.recv_q_bytes is not None:
        text = f"at most {size(accepting.recv_q_bytes)} stood unread on one of its connections"
        yield Evidence("recv_q_bytes", accepting.recv_q_bytes, text)


def _advice(busy_with: Bucket | None, *, full: bool) -> tuple[str, ...]:
    if busy_with is None:
        return (
            "All workers were taken, or who accepts was busy: add workers if they mostly wait.",
            "Make the requests that occupy them shorter: the endpoints that take most time in the report's table.",
        )
    if busy_with in _COMPUTING:
        more = (
            "More workers will not help, the CPUs are full: make the work cheaper, or add CPUs."
            if full
            else "Add worker processes, not threads: the workers compute, and threads share one GIL."
        )
        return (more, "Move CPU-bound work out of the request, or limit how much of it runs at once.")
    if busy_with == "lock":
        return (
            "More workers in this process would queue at the same lock: shorten what is done under it.",
            "Then add threads if requests still wait for a worker.",
        )
    return (
        f"Add threads or workers: those there were {DOING[busy_with]}, which needs no CPU.",
        "Shorten those waits, and give them a timeout, so that they cannot occupy every worker.",
    )
