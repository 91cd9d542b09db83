"""The verdict on the whole session: of what costs its users most time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.correlator.because import ring
from perfwatch.agent.correlator.fidelity import INFERRED
from perfwatch.agent.correlator.findings import counted
from perfwatch.agent.correlator.hanging import URGENT_NS, Hanging, age_ns_of, hanging
from perfwatch.agent.correlator.needs import unseen
from perfwatch.agent.correlator.routes import fold
from perfwatch.agent.correlator.threads_only import verdict_on_threads
from perfwatch.agent.correlator.wording import duration
from perfwatch.agent.model import Evidence, SessionInfo, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.correlator.endpoints import EndpointState
    from perfwatch.agent.correlator.slowness import Slowness
    from perfwatch.agent.model import Deadlock

_MAX_NAMED: Final = 4
_ADVICE: Final = (
    "Take these locks in the same order everywhere, or make them one.",
    "Take the second one with a timeout, and give the first one back when that passes.",
)
_HEALTHY: Final = {"exact": 1.0, "sampled": INFERRED}
"""How sure it is that nothing was slow: packets may have been missed."""


def session_verdict(
    info: SessionInfo,
    ranked: Sequence[EndpointState],
    slowness: Slowness,
    open_at_ns: int,
    context: Context,
) -> Verdict:
    """Judge the session: what hangs, if it outweighs the rest or is 30 s old; else the costliest endpoint.

    `ranked` has the costliest endpoint first; open requests are booked up to `open_at_ns`.
    """
    cost_ns = ranked[0].cost_ns if ranked else 0
    stuck = _stuck(info, ranked, slowness, open_at_ns, context)
    if stuck is not None and (stuck.age_ns > cost_ns or stuck.oldest_ns >= URGENT_NS):
        return _deadlocked(stuck.verdict, context.around.deadlocks.found(context))
    if ranked and ranked[0].told.judged_count:
        return ranked[0].told.verdict
    if ranked:
        return _healthy(info, ranked, context.now_ns)
    spent = context.around.thread_times.spent
    if spent is not None:
        return verdict_on_threads(info, spent, context.now_ns)
    return _nothing_seen(info, context.now_ns)


def _deadlocked(verdict: Verdict, deadlocks: Sequence[Deadlock]) -> Verdict:
    """Say of what hangs that it waits for each other, if it is known to."""
    if not deadlocks or verdict.mechanism not in (None, "lock"):
        return verdict
    told = ring(deadlocks[0].members)
    evidence = (Evidence("deadlock", told, told), *verdict.evidence)
    return msgspec.structs.replace(verdict, summary=f"{told}; {verdict.summary}", evidence=evidence, advice=_ADVICE)


def _stuck(
    info: SessionInfo,
    ranked: Sequence[EndpointState],
    slowness: Slowness,
    at_ns: int,
    context: Context,
) -> Hanging | None:
    """Judge the open requests that are slow by now and older than any that ended on their endpoint."""
    longest = {(state.method, state.route, state.service): state.latencies.max_ns for state in ranked}
    service_of = context.around.services.of
    old = [one for one in context.traffic.open if age_ns_of(one, at_ns) > slowness.certain_ns]
    stuck = [
        one
        for one in old
        if age_ns_of(one, at_ns) > longest.get((one.method or "?", fold(one.target), service_of(one.pid)), 0)
    ]
    return hanging(stuck, at_ns, context, info.fidelity) if stuck else None


def _healthy(info: SessionInfo, ranked: Sequence[EndpointState], now_ns: int) -> Verdict:
    slowest = max(ranked, key=lambda state: state.latencies.max_ns)
    count = sum(state.latencies.count for state in ranked)
    name = " ".join(slowest.name)
    over = duration(max(now_ns - info.started_ns, 0))
    took = duration(slowest.latencies.max_ns)
    summary = f"no slow request in {over} ({counted(count, 'request')}); slowest {took}, {name}"
    evidence = Evidence("slowest", name, f"the slowest request took {took}: {name}")
    return Verdict("healthy", None, 0.0, _HEALTHY[info.fidelity], summary, (evidence,))


def _nothing_seen(info: SessionInfo, now_ns: int) -> Verdict:
    ports = ", ".join(info.listeners[:_MAX_NAMED]) or "no listening socket"
    since = duration(max(now_ns - info.started_ns, 0))
    summary = f"no request seen yet, in {since} of watching {ports}"
    need = unseen(info.probes)
    advice = ("Send it a request; check that traffic reaches this process and not another one.", *need.advice)
    return Verdict("unknown", None, 0.0, 0.0, summary, need.evidence, advice)
