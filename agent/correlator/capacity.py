"""Capacity: the request waits for something limited: CPUs, disk, memory, network, another process.

The contract of rules stands in `findings.py`. GIL time that starvation explains counts as run queue or throttling
(`starvation.py`); a wait in a pipe, which is booked to `other`, counts as a wait for the process at its
other end. The rule of `dependency` stands in `downstream.py`, with what else the time for other services is spent on.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.answers import explain_calls
from perfwatch.agent.correlator.crowding import explain_run_queue
from perfwatch.agent.correlator.findings import (
    Explanation,
    Finding,
    Rule,
    amount,
    longest,
    released,
    waited,
    waits_in,
)
from perfwatch.agent.correlator.links import explain_network
from perfwatch.agent.correlator.paging import explain_memory
from perfwatch.agent.correlator.starvation import starved, throttled_of, unread_ns
from perfwatch.agent.correlator.storage import explain_disk
from perfwatch.agent.correlator.throttling import explain_throttle
from perfwatch.agent.model import Evidence, Request, Wait

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.correlator.calling import Slice
    from perfwatch.agent.correlator.context import Context

CHILD: Final = "child process"
PIPE: Final = "process at the other end of a pipe"
_PIPES: Final = ("pipe_", "anon_pipe_", "fifo_")
_CHILD_ADVICE: Final = (
    "Take the child process out of the request: use a library, a long-lived helper, or a job queue.",
    "Give it a timeout, and do not wait for it while the client does.",
)


def run_queue(request: Request, context: Context) -> Iterator[Finding]:
    """Runnable, but without a CPU <- `run_queue` without its throttled part, the starved parts of `gil` and `queue`."""
    own_ns = request.ledger["run_queue"] - throttled_of(request, context)
    spent_ns = own_ns + starved(request, context).queued_ns + unread_ns(request, context)
    if spent_ns:
        yield Finding("run-queue", spent_ns, partial(explain_run_queue, request, context))


def throttle(request: Request, context: Context) -> Iterator[Finding]:
    """Runnable, but its cgroup's CPU quota used up <- `run_queue`, of which throttled, and that part of `gil`."""
    spent_ns = throttled_of(request, context) + starved(request, context).throttled_ns
    if spent_ns:
        yield Finding("throttle", spent_ns, partial(explain_throttle, request, context))


def disk(request: Request, context: Context) -> Iterator[Finding]:
    """Blocked on block I/O or a journal <- `disk`."""
    if request.ledger["disk"]:
        yield Finding("disk", request.ledger["disk"], partial(explain_disk, request, context))


def memory(request: Request, context: Context) -> Iterator[Finding]:
    """Blocked on a page fault, swap or reclaim <- `fault`."""
    if request.ledger["fault"]:
        yield Finding("memory", request.ledger["fault"], partial(explain_memory, request, context))


def network(request: Request, context: Context) -> Iterator[Finding]:
    """Blocked by its own client <- `receive` and `send`."""
    spent_ns = request.ledger["receive"] + request.ledger["send"]
    if spent_ns:
        yield Finding("network", spent_ns, partial(explain_network, request, context))


def piped_ns(request: Request) -> int:
    """Return how much of `other` was spent on pipes, as far as single waits of 1 ms or more tell."""
    return min(sum(wait.blocked_ns for wait in _pipe_waits(request)), request.ledger["other"])


def _pipe_waits(request: Request) -> tuple[Wait, ...]:
    """Return the waits in pipes that no thread of the same process ended."""
    return tuple(
        wait
        for wait in waits_in(request, "other")
        if wait.detail is not None
        and wait.detail.startswith(_PIPES)
        and (wait.waker is None or wait.waker.pid != request.record.pid)
    )


def explain_dependency(request: Request, context: Context, slices: Sequence[Slice]) -> Explanation:
    """Say which other process it was: `slices` is what of `calls` is its slowness, and not the way it was asked."""
    parts = {"calls": sum(one.spent_ns for one in slices), "child": request.ledger["child"], "pipe": piped_ns(request)}
    if parts["calls"] >= max(parts["child"], parts["pipe"]):
        return explain_calls(request, context, slices)
    if parts["child"] >= parts["pipe"]:
        told = waited(request, "child", "a child process")
        whom = Evidence("peer", CHILD, f"waited for a {CHILD}")
        return Explanation((whom, *told), _CHILD_ADVICE)
    worst = longest(_pipe_waits(request))
    evidence = (
        Evidence("peer", PIPE, f"waited for the {PIPE}"),
        amount("pipe", parts["pipe"], "waited {} for data or room in a pipe"),
        *released(worst, context),
    )
    return Explanation(evidence, _CHILD_ADVICE)


RULES: Final[tuple[Rule, ...]] = (run_queue, throttle, disk, memory, network)
