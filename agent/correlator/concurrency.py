"""Concurrency: the request waits for its turn, behind other work of the same program.

The contract of rules stands in `findings.py`. GIL time that starvation explains is capacity's
(`starvation.py`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import (
    Explanation,
    Finding,
    Rule,
    amount,
    counted,
    longest,
    milliseconds,
    released,
    waited,
    waits_in,
)
from perfwatch.agent.correlator.listening import explain_queue
from perfwatch.agent.correlator.starvation import starved
from perfwatch.agent.model import Evidence, Request

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


def queue(request: Request, context: Context) -> Iterator[Finding]:
    """Unread until a worker was free <- `queue`."""
    if request.ledger["queue"]:
        yield Finding("queue", request.ledger["queue"], partial(explain_queue, request, context))


def gil(request: Request, context: Context) -> Iterator[Finding]:
    """Blocked on the interpreter lock <- `gil`, without its starved part."""
    own_ns = request.ledger["gil"] - starved(request, context).total_ns
    if own_ns:
        yield Finding("gil", own_ns, partial(_explain_gil, request, context))


def lock(request: Request, context: Context) -> Iterator[Finding]:
    """Blocked on any other lock <- `lock`."""
    if request.ledger["lock"]:
        yield Finding("lock", request.ledger["lock"], partial(_explain_lock, request, context))


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
