"""The contract of the rules, and the sentences that several of them say.

A rule is a function from a judged request and its context to findings. A finding says how much of the
latency one mechanism explains; no nanosecond is claimed by two findings. It reads booked time and trusts
it: context only moves time from a symptom to its cause where the module that does so states why. Why and
what to do about it is explained on demand, for the mechanism that wins: that is the costly part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from perfwatch.agent.correlator.routes import fold
from perfwatch.agent.correlator.series import Span
from perfwatch.agent.model import (
    BUCKETS,
    Bucket,
    Evidence,
    Mechanism,
    OpenRequest,
    Request,
    ServedRequest,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from perfwatch.agent.correlator.context import Context
    from perfwatch.probes.records import Waker


class Explanation(NamedTuple):
    """Why a mechanism is blamed, and what to do."""

    evidence: tuple[Evidence, ...]
    advice: tuple[str, ...]


class Finding(NamedTuple):
    """Time of one request that one mechanism explains."""

    mechanism: Mechanism
    spent_ns: int
    explain: Callable[[], Explanation]


Rule: TypeAlias = "Callable[[Request, Context], Iterator[Finding]]"

DOING: Final[dict[Bucket, str]] = {
    "queue": "waiting for a worker",
    "on_cpu": "computing",
    "gil": "waiting for the GIL",
    "lock": "waiting for locks",
    "loop": "waiting for the event loop",
    "run_queue": "waiting for a CPU",
    "disk": "waiting for the disk",
    "fault": "waiting for memory",
    "calls": "waiting for other services",
    "sleep": "sleeping",
    "receive": "receiving from slow clients",
    "send": "sending to slow clients",
    "child": "waiting for child processes",
    "other": "blocked in the kernel",
}
"""What a thread does, by the bucket that its time is booked to."""


def span_of(request: Request) -> Span:
    """Return the time that a request was in the system."""
    return Span(request.record.ended_ns - request.ledger.total_ns, request.record.ended_ns)


def milliseconds(spent_ns: int) -> float:
    """Return milliseconds with one decimal, as evidence states them."""
    return round(spent_ns / 1e6, 1)


def amount(name: str, spent_ns: int, text: str) -> Evidence:
    """Make evidence of a time; `{}` in the text stands for it."""
    value = milliseconds(spent_ns)
    return Evidence(f"{name}_ms", value, text.replace("{}", f"{value:.1f} ms", 1))


def share(name: str, part: float, text: str) -> Evidence:
    """Make evidence of a share of 0..1; `{}` in the text stands for it."""
    return Evidence(name, round(part, 3), text.replace("{}", f"{part * 100:.0f} %", 1))


def waits_in(request: Request, *buckets: Bucket) -> tuple[Wait, ...]:
    """Return the waits of at least 1 ms that are booked to these buckets."""
    return tuple(wait for wait in request.record.waits if wait.bucket in buckets)


def longest(waits: tuple[Wait, ...]) -> Wait | None:
    """Return the wait that was blocked longest, the first of equals."""
    return max(waits, key=lambda wait: wait.blocked_ns, default=None)


def counted(count: int, what: str) -> str:
    """Return `1 wait` or `3 waits`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def waited(request: Request, bucket: Bucket, for_what: str) -> tuple[Evidence, ...]:
    """Say how long a request was blocked, in how many waits, and where the longest was."""
    return waited_in(request, bucket, request.ledger[bucket], waits_in(request, bucket), for_what)


def waited_in(
    request: Request, name: str, spent_ns: int, waits: tuple[Wait, ...], for_what: str
) -> tuple[Evidence, ...]:
    """Say the same of some of its waits."""
    text = f"waited {{}} for {for_what}"
    if waits and not request.record.waits_lost:
        text += f", in {counted(len(waits), 'wait')} of 1 ms or more"
    told = [amount(name, spent_ns, text)]
    worst = longest(waits)
    if worst is not None:
        where = f" in {worst.call}" if worst.call else ""
        told.append(amount("longest_wait", worst.blocked_ns, f"the longest wait was {{}}{where}"))
    return tuple(told)


def released(wait: Wait | None, context: Context) -> tuple[Evidence, ...]:
    """Say who ended a wait: the thread, the request it served, and what that request spent its time on."""
    if wait is None or wait.waker is None:
        return ()
    waker = wait.waker
    thread = f"{thread_name(waker, context)} (pid {waker.pid}, tid {waker.tid})"
    idle = "" if waker.request is not None else ", which served no known request then"
    told = Evidence("waker", thread, f"the longest wait was ended by thread {thread}{idle}")
    return (told, *serving(request_of(waker, context)))


def request_of(waker: Waker, context: Context) -> ServedRequest | OpenRequest | None:
    """Return what a thread was serving when it ended a wait, if that is known."""
    return None if waker.request is None else context.traffic.find(waker.request)


def serving(culprit: ServedRequest | OpenRequest | None) -> Iterator[Evidence]:
    """Say which request a thread was serving, and what that one spent its time on."""
    if culprit is None:
        return
    endpoint = f"{culprit.method or '?'} {fold(culprit.target)}"
    yield Evidence("culprit", endpoint, f"that thread was serving {named(culprit)}")
    spent = dict(zip(BUCKETS, culprit.booked_ns, strict=True))
    del spent["queue"]  # it held nothing up while it waited itself
    bucket = max(spent, key=lambda name: spent[name])
    if spent[bucket] > 0:
        text = f"which spent {milliseconds(spent[bucket]):.1f} ms {DOING[bucket]}"
        yield Evidence("culprit_spent", bucket, text)


def thread_name(waker: Waker, context: Context) -> str:
    """Return what a thread is called in Python, else in the kernel."""
    return context.around.code.interpreters.thread_name(waker.pid, waker.tid) or waker.name


def named(request: ServedRequest | OpenRequest) -> str:
    """Return method and target of a request, or what it is called without them."""
    if request.method is None and request.target is None:
        return f"request {request.id}"
    return f"{request.method or '?'} {request.target or '?'}"
