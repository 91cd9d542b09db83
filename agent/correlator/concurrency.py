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
    longest,
    milliseconds,
    released,
    waited,
    waits_in,
)
from perfwatch.agent.correlator.holding import awaits_signal, explain_holder, holdings
from perfwatch.agent.correlator.interlock import explain_gil
from perfwatch.agent.correlator.listening import explain_queue
from perfwatch.agent.correlator.starvation import starved
from perfwatch.agent.model import Evidence, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.context import Context

_HOLD_ADVICE: Final = "Hold the lock for less{}: move I/O and slow work out of the `with lock:` block."
_LOCK_ADVICE: Final = (
    "Split it by key, or copy under the lock and work on the copy.",
    "Acquire it with a timeout, so that a stuck holder is an error and not a hang.",
)
_SIGNAL_ADVICE: Final = (
    "It waits for another thread's work{}: make that shorter, or start it earlier.",
    "Let independent work run at the same time, and give the pool that does it enough threads.",
    "Wait with a timeout, so that a signal that never comes is an error and not a hang.",
)


def queue(request: Request, context: Context) -> Iterator[Finding]:
    """Unread until a worker was free <- `queue`."""
    if request.ledger["queue"]:
        yield Finding("queue", request.ledger["queue"], partial(explain_queue, request, context))


def gil(request: Request, context: Context) -> Iterator[Finding]:
    """Blocked on the interpreter lock <- `gil`, without its starved part."""
    own_ns = request.ledger["gil"] - starved(request, context).total_ns
    if own_ns:
        yield Finding("gil", own_ns, partial(explain_gil, request, context))


def lock(request: Request, context: Context) -> Iterator[Finding]:
    """Blocked on any other lock <- `lock`."""
    if request.ledger["lock"]:
        yield Finding("lock", request.ledger["lock"], partial(_explain_lock, request, context))


def _explain_lock(request: Request, context: Context) -> Explanation:
    waits, is_signal = waits_in(request, "lock"), awaits_signal(request)
    held = holdings(request, "lock", context)
    holder = list(explain_holder(held, request.ledger["lock"], "signalled" if is_signal else "released it", context))
    first, *others = waited(request, "lock", "a signal" if is_signal else "a lock")
    evidence = [first, *holder, *others]
    if is_signal:
        evidence.append(Evidence("awaits", "signal", "it waited until another thread signalled: nobody held the lock"))
    by_lock: dict[str, int] = {}
    for wait in waits:
        if wait.detail:
            by_lock[wait.detail] = by_lock.get(wait.detail, 0) + wait.blocked_ns
    if by_lock:
        address = max(by_lock, key=lambda name: by_lock[name])
        text = f"{milliseconds(by_lock[address]):.1f} ms of it for the lock at {address}"
        evidence.append(Evidence("lock", address, text))
    if not held:
        evidence += released(longest(waits), context)
    place = next((f" in {one.value}" for one in holder if one.name == "holder"), "")
    advice, *more = _SIGNAL_ADVICE if is_signal else (_HOLD_ADVICE, *_LOCK_ADVICE)
    return Explanation(tuple(evidence), (advice.format(place), *more))


RULES: Final[tuple[Rule, ...]] = (queue, lock, gil)
