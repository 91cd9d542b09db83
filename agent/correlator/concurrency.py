"""Concurrency: the request waits for its turn, behind other work of the same program.

The contract of rules stands in `findings.py`. GIL time that starvation explains is capacity's
(`starvation.py`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import (
    DOING,
    Explanation,
    Finding,
    Rule,
    amount,
    counted,
    longest,
    milliseconds,
    released,
    share,
    waited,
    waits_in,
)
from perfwatch.agent.correlator.starvation import starved_gil_ns
from perfwatch.agent.model import Bucket, Evidence, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.context import Context

_GIL_ADVICE: Final = (
    "Run the CPU-bound work in other processes: more workers with fewer threads, or a process pool.",
    "Find what the other threads of this process compute, and make that cheaper.",
    "Each hand-over of the GIL may take the 5 ms switch interval: keep CPU-bound jobs elsewhere.",
)
_LOCK_ADVICE: Final = (
    "Hold the lock for less: move I/O and slow work out of the `with lock:` block.",
    "Split it by key, or copy under the lock and work on the copy.",
    "Acquire it with a timeout, so that a stuck holder is an error and not a hang.",
)
_COMPUTING: Final[frozenset[Bucket]] = frozenset({"on_cpu", "gil", "run_queue"})


def queue(request: Request, context: Context) -> Iterator[Finding]:
    """Unread until a worker was free <- `queue`."""
    if request.ledger["queue"]:
        yield Finding("queue", request.ledger["queue"], partial(_explain_queue, request, context))


def gil(request: Request, context: Context) -> Iterator[Finding]:
    """Blocked on the interpreter lock <- `gil`, without its starved part."""
    own_ns = request.ledger["gil"] - starved_gil_ns(request, context)
    if own_ns:
        yield Finding("gil", own_ns, partial(_explain_gil, request, context))


def lock(request: Request, context: Context) -> Iterator[Finding]:
    """Blocked on any other lock <- `lock`."""
    if request.ledger["lock"]:
        yield Finding("lock", request.ledger["lock"], partial(_explain_lock, request, context))


def _explain_queue(request: Request, context: Context) -> Explanation:
    record = request.record
    evidence = [amount("queue", request.ledger["queue"], "its bytes waited {} until a worker read them")]
    beside = context.traffic.beside(record, record.started_ns)
    most = beside.most
    if most is not None:
        bucket, part = most
        others = counted(beside.requests, "other request")
        doing = f"{part * 100:.0f} % of their time {DOING[bucket]}"
        text = f"meanwhile {others} of process {record.pid} spent {doing}"
        evidence.append(Evidence("busy_with", bucket, text))
    if context.host.cpu_use is not None:
        evidence.append(share("cpu_use", context.host.cpu_use, "the host's CPUs were {} busy"))
    return Explanation(tuple(evidence), _queue_advice(most[0] if most else None, full=context.host.full))


def _queue_advice(busy_with: Bucket | None, *, full: bool) -> tuple[str, ...]:
    if busy_with is None:
        return (
            "All workers were taken, or who accepts was busy: add workers if they mostly wait.",
            "Make the requests that occupy them shorter.",
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


def _explain_gil(request: Request, context: Context) -> Explanation:
    ledger, record = request.ledger, request.record
    evidence = [
        *waited(request, "gil", "the interpreter lock (GIL)"),
        amount("on_cpu", ledger["on_cpu"], "and ran {} on a CPU itself"),
    ]
    if ledger["run_queue"]:
        evidence.append(amount("run_queue", ledger["run_queue"], "and was ready to run without a CPU for {}"))
    beside = context.traffic.beside(record, record.ended_ns)
    computed_ns = beside.spent_ns.get("on_cpu", 0)
    if beside.requests:
        others = counted(beside.requests, "other request")
        text = f"meanwhile {others} of process {record.pid} computed for {{}}"
        evidence.append(amount("others_on_cpu", computed_ns, text))
    evidence += released(longest(waits_in(request, "gil")), context)
    return Explanation(tuple(evidence), _GIL_ADVICE)


def _explain_lock(request: Request, context: Context) -> Explanation:
    waits = waits_in(request, "lock")
    evidence = [*waited(request, "lock", "a lock")]
    by_lock: dict[str, int] = {}
    for wait in waits:
        if wait.detail:
            by_lock[wait.detail] = by_lock.get(wait.detail, 0) + wait.blocked_ns
    if by_lock:
        address = max(by_lock, key=lambda name: by_lock[name])
        text = f"{milliseconds(by_lock[address]):.1f} ms of it for the lock at {address}"
        evidence.append(Evidence("lock", address, text))
    evidence += released(longest(waits), context)
    return Explanation(tuple(evidence), _LOCK_ADVICE)


RULES: Final[tuple[Rule, ...]] = (queue, lock, gil)
