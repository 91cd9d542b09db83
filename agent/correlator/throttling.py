"""Why a request's cgroup had no CPU time left: its quota, how often it was used up, and what was missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import Explanation, amount, share, span_of
from perfwatch.agent.correlator.starvation import starved, throttled_of
from perfwatch.agent.correlator.wording import percent
from perfwatch.agent.model import Evidence

if TYPE_CHECKING:
    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.model import Request
    from perfwatch.agent.model_queues import CgroupLimit

_ADVICE: Final = (
    "Raise the CPU quota (cgroup cpu.max, docker --cpus, Kubernetes limits.cpu), or use a weight instead of a quota.",
    "Run no more busy threads and workers than the quota has CPUs: together they use up a period's share at its start.",
    "Make the requests cheaper: the CPU time that they need is more than the quota gives.",
)


def explain_throttle(request: Request, context: Context) -> Explanation:
    """Name the cgroup that was throttled most while the request ran, and what it may use."""
    text = "its thread was ready to run, but the CPU quota was used up, for {}"
    evidence = [amount("throttled", throttled_of(request, context), text)]
    starved_ns = starved(request, context).throttled_ns
    if starved_ns:
        text = "it waited {} for the GIL while its holders were throttled"
        evidence.append(amount("throttled_gil", starved_ns, text))
    limit = context.around.cgroups.throttled(span_of(request))
    if limit is not None:
        evidence += _limit(limit)
    if request.record.fidelity == "sampled":
        text = "inferred: it waited for a CPU while CPUs were free and the quota was used up"
        evidence.append(Evidence("throttling", "inferred", text))
    return Explanation(tuple(evidence), _ADVICE)


def _limit(limit: CgroupLimit) -> list[Evidence]:
    quota, missing = limit.quota_cpus or 0.0, (limit.throttled_ms_s or 0.0) / 1e3
    often = "" if limit.throttled is None else f" in {percent(limit.throttled)} of its periods"
    text = (
        f"cgroup {limit.path} may use {quota:.3g} CPUs, and was throttled{often}; about {missing:.1f} more were wanted"
    )
    told = [
        Evidence("cgroup", limit.path, text),
        Evidence("quota_cpus", round(quota, 3), f"its quota is {quota:.3g} CPUs"),
    ]
    if limit.throttled is not None:
        told.append(share("throttled_periods", limit.throttled, "it used up its quota in {} of its periods"))
    if limit.used_cpus is not None:
        text = f"it used {limit.used_cpus:.2f} CPUs"
        told.append(Evidence("used_cpus", round(limit.used_cpus, 3), text))
    text = f"about {missing:.1f} CPUs were missing: so much of the time its CPUs stood throttled"
    return [*told, Evidence("missing_cpus", round(missing, 3), text)]
