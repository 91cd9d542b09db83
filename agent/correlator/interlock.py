"""Why a request waited for the interpreter lock: who held it, how often it changed hands, what the collector did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.collecting import blocked_for, overlap_ns, stretches
from perfwatch.agent.correlator.findings import (
    Explanation,
    amount,
    counted,
    longest,
    released,
    span_of,
    waited,
    waits_in,
)
from perfwatch.agent.correlator.holding import MOSTLY, explain_gil_holder
from perfwatch.agent.correlator.series import Span
from perfwatch.agent.correlator.wording import percent
from perfwatch.agent.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.context import Context, Meanwhile
    from perfwatch.agent.model import Request

_ADVICE: Final = (
    "Run the CPU-bound work in other processes: more workers with fewer threads, or a process pool.",
    "Find what the other threads of this process compute (py-spy record --gil), and make that cheaper.",
    "Each hand-over of the GIL may take the 5 ms switch interval: keep CPU-bound jobs elsewhere.",
)
_HOLDER_ADVICE: Final = "Make what {} computes cheaper, or move it to another process: it keeps the GIL meanwhile."
_COLLECTOR_ADVICE: Final = (
    "Another thread's garbage collector kept the GIL: let it run less often "
    "(gc.set_threshold), and call gc.freeze() after start-up."
)
_TURN_MS: Final = 15.0
"""Three switch intervals: a longer turn is a call that does not give the lock up, not a convoy."""
_CROWD: Final = 2
_MAX_PAUSES: Final = 512


def explain_gil(request: Request, context: Context) -> Explanation:
    """Say who held it, and whether by one long turn or by many short ones."""
    ledger, record = request.ledger, request.record
    beside = context.traffic.beside(record, record.ended_ns)
    holder = list(explain_gil_holder(request, context))
    collected_ns = _collected_ns(request, context)
    first, *others = waited(request, "gil", "the interpreter lock (GIL)")
    evidence = [
        first,
        *holder,
        *_collector(collected_ns),
        *_lock(request, beside, context),
        *others,
        amount("on_cpu", ledger["on_cpu"], "and ran {} on a CPU itself"),
    ]
    if ledger["run_queue"]:
        evidence.append(amount("run_queue", ledger["run_queue"], "and was ready to run without a CPU for {}"))
    if beside.requests:
        many = counted(beside.requests, "other request")
        text = f"meanwhile {many} of process {record.pid} computed for {{}}"
        evidence.append(amount("others_on_cpu", beside.spent_ns.get("on_cpu", 0), text))
    if not holder:
        evidence += released(longest(waits_in(request, "gil")), context)
    advice = [_COLLECTOR_ADVICE] if collected_ns >= MOSTLY * ledger["gil"] else []
    advice += [_HOLDER_ADVICE.format(one.value) for one in holder if one.name == "holder"]
    return Explanation(tuple(evidence), (*advice, *_ADVICE)[:3])


def _collected_ns(request: Request, context: Context) -> int:
    """Return how much of its waits for the lock another thread of its process spent collecting."""
    record = request.record
    pauses = context.around.code.pauses(record.pid, Span(record.started_ns, record.ended_ns))[-_MAX_PAUSES:]
    return overlap_ns(blocked_for(record, "gil"), stretches(pause for pause in pauses if pause.tid != record.tid))


def _collector(collected_ns: int) -> Iterator[Evidence]:
    if collected_ns > 0:
        text = "{} of it another thread's garbage collector ran, which keeps the lock"
        yield amount("gil_collected", collected_ns, text)


def _lock(request: Request, beside: Meanwhile, context: Context) -> Iterator[Evidence]:
    """Say how busy the lock was, and whether requests stood in line for it in many short turns."""
    pid = request.record.pid
    interpreters = context.around.code.interpreters
    rate = interpreters.gil(pid, span_of(request))
    if rate is None:
        return
    most = [(tid, share) for tid, share in rate.holders if tid != request.record.tid]
    whom = ""
    if most:
        tid, part = most[0]
        whom = f" ({percent(part)} by thread {interpreters.thread_name(pid, tid) or tid})"
    changed = "" if rate.handoffs_s is None else f" and changed hands {rate.handoffs_s:.0f} times a second"
    text = f"the GIL of process {pid} was held {percent(rate.held)} of the time{whom}{changed}"
    yield Evidence("gil_held", round(rate.held, 3), text)
    turn_ms = rate.held * 1e3 / rate.handoffs_s if rate.handoffs_s else None
    waiting = 1 + beside.in_each.get("gil", 0)
    if turn_ms is not None and turn_ms <= _TURN_MS and waiting > _CROWD:
        text = f"a convoy: {waiting} requests waited for it at the same time, in turns of {turn_ms:.1f} ms on average"
        yield Evidence("convoy", waiting, text)
