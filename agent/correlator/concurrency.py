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
    waited_in,
    waits_in,
)
from perfwatch.agent.correlator.holding import awaits_signal, explain_holder, holdings
from perfwatch.agent.correlator.interlock import explain_gil
from perfwatch.agent.correlator.listening import explain_queue
from perfwatch.agent.correlator.looping import explain_loop
from perfwatch.agent.correlator.pools import explain_pool, pooled_ns
from perfwatch.agent.correlator.refining import pooled
from perfwatch.agent.correlator.starvation import starved, unread_ns
from perfwatch.agent.correlator.workers import explain_worker, worker_ns
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
    """Unread until a worker was free, or read and not begun until a thread of a pool was <- `queue`."""
    spent_ns = request.ledger["queue"] - unread_ns(request, context)
    if spent_ns:
        explain = explain_worker if 2 * worker_ns(request) > spent_ns else explain_queue
        yield Finding("queue", spent_ns, partial(explain, request, context))


def gil(request: Request, context: Context) -> Iterator[Finding]:
    """Blocked on the interpreter lock <- `gil`, without its starved part."""
    own_ns = request.ledger["gil"] - starved(request, context).total_ns
    if own_ns:
        yield Finding("gil", own_ns, partial(explain_gil, request, context))


def lock(request: Request, context: Context) -> Iterator[Finding]:
    """Blocked on any other lock <- `lock`, without what was a pool's or a permit's."""
    own_ns = request.ledger["lock"] - pooled_ns(request)
    if own_ns:
        yield Finding("lock", own_ns, partial(_explain_lock, request, own_ns, context))


def pool(request: Request, context: Context) -> Iterator[Finding]:
    """Blocked until another request gave back a pooled connection or a permit <- that part of `lock`."""
    spent_ns = pooled_ns(request)
    if spent_ns:
        yield Finding("pool", spent_ns, partial(explain_pool, request, context))


def event_loop(request: Request, context: Context) -> Iterator[Finding]:
    """Ready to run while its event loop ran something else <- `loop`."""
    if request.ledger["loop"]:
        yield Finding("event-loop", request.ledger["loop"], partial(explain_loop, request, context))


def _explain_lock(request: Request, spent_ns: int, context: Context) -> Explanation:
    waits = tuple(wait for wait in waits_in(request, "lock") if not pooled(wait))
    is_signal = awaits_signal(request, waits, spent_ns)
    held = holdings(request, waits, context)
    holder = list(explain_holder(held, spent_ns, "signalled" if is_signal else "released it", context))
    first, *others = waited_in(request, "lock", spent_ns, waits, "a signal" if is_signal else "a lock")
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


RULES: Final[tuple[Rule, ...]] = (queue, event_loop, pool, lock, gil)
