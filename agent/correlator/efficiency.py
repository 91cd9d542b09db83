"""Efficiency: the request itself does something that takes long.

The contract of rules stands in `findings.py`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import Explanation, Finding, Rule, amount, share, waited

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.model import Request

_CPU_ADVICE: Final = (
    "Profile the handler and remove or cache its most expensive work.",
    "Look for work that grows with the data: loops over query results, parsing, rendering, compression.",
    "Move what need not be in the answer to a background job.",
)
_SLEEP_ADVICE: Final = (
    "Remove the sleep, or wait for the event itself (a condition, a queue, a future) instead of polling.",
    "If it is a retry's back-off, fix what makes the first try fail and cap the back-off.",
)


def cpu(request: Request, context: Context) -> Iterator[Finding]:
    """Own code on a CPU <- `on_cpu`."""
    if request.ledger["on_cpu"]:
        yield Finding("cpu", request.ledger["on_cpu"], partial(_explain_cpu, request, context))


def sleep(request: Request, _context: Context) -> Iterator[Finding]:
    """Asleep on a timer <- `sleep`."""
    if request.ledger["sleep"]:
        yield Finding("sleep", request.ledger["sleep"], partial(_explain_sleep, request))


def _explain_cpu(request: Request, context: Context) -> Explanation:
    evidence = [amount("on_cpu", request.ledger["on_cpu"], "its thread ran {} on a CPU")]
    if context.host.steal is not None and context.host.steal > 0.05:  # noqa: PLR2004
        evidence.append(share("steal", context.host.steal, "the hypervisor took {} of the CPU time"))
    return Explanation(tuple(evidence), _CPU_ADVICE)


def _explain_sleep(request: Request) -> Explanation:
    return Explanation(waited(request, "sleep", "a timer"), _SLEEP_ADVICE)


RULES: Final[tuple[Rule, ...]] = (cpu, sleep)
