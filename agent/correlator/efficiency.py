"""Efficiency: the request itself does something that takes long.

The contract of rules stands in `findings.py`.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.collecting import gc_ns_of
from perfwatch.agent.correlator.findings import Explanation, Finding, Rule, amount, counted, share, waited
from perfwatch.agent.correlator.garbage import explain_gc
from perfwatch.agent.correlator.places import called, kind_of
from perfwatch.agent.correlator.wording import cut
from perfwatch.agent.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.correlator.places import Kind
    from perfwatch.agent.model import Request

_CPU_ADVICE: Final = (
    "Profile the handler (`perfwatch report --tree`, or py-spy record), and remove or cache its most expensive work.",
    "Look for work that grows with the data: loops over query results, parsing, rendering, compression.",
    "Move what need not be in the answer to a background job.",
)
_SLEEP_ADVICE: Final = (
    "Remove the sleep, or wait for the event itself (a condition, a queue, a future) instead of polling.",
    "If it is a retry's back-off, fix what makes the first try fail and cap the back-off.",
)

_KINDS: Final[dict[Kind, str]] = {
    "own": "the program's own code",
    "library": "libraries",
    "stdlib": "the standard library",
    "native": "native code",
}
_NOTABLE: Final = 0.05
_MAX_CALL: Final = 64


def cpu(request: Request, context: Context) -> Iterator[Finding]:
    """Own code on a CPU <- `on_cpu` without the collector's part."""
    spent_ns = request.ledger["on_cpu"] - gc_ns_of(request, context.around.code)
    if spent_ns:
        yield Finding("cpu", spent_ns, partial(_explain_cpu, request, spent_ns, context))


def gc(request: Request, context: Context) -> Iterator[Finding]:
    """Garbage collector on its thread <- that part of `on_cpu`."""
    spent_ns = gc_ns_of(request, context.around.code)
    if spent_ns:
        yield Finding("gc", spent_ns, partial(explain_gc, request, context))


def sleep(request: Request, _context: Context) -> Iterator[Finding]:
    """Asleep on a timer <- `sleep`."""
    if request.ledger["sleep"]:
        yield Finding("sleep", request.ledger["sleep"], partial(_explain_sleep, request))


def _explain_cpu(request: Request, spent_ns: int, context: Context) -> Explanation:
    evidence = [amount("on_cpu", spent_ns, "its thread ran {} on a CPU"), *_kinds(request)]
    if request.record.ran:
        readings = len(request.record.ran)
        text = f"it was looked at {counted(readings, 'time')} while it ran, evenly over its CPU time"
        evidence.append(Evidence("readings", readings, text))
    if context.host.steal is not None and context.host.steal > 0.05:  # noqa: PLR2004
        evidence.append(share("steal", context.host.steal, "the hypervisor took {} of the CPU time"))
    return Explanation(tuple(evidence), _CPU_ADVICE)


def _kinds(request: Request) -> Iterator[Evidence]:
    """Tell own code from libraries, the standard library and native code, by what ran at the top of its stacks."""
    spent: Counter[Kind] = Counter()
    native: Counter[str] = Counter()
    for one in request.stacks:
        if one.frames and one.bucket == "on_cpu" and not one.is_gc:
            kind = kind_of(one.frames[0])
            spent[kind] += one.spent_ns
            if kind == "native":
                native[called(one.frames) or one.frames[0].function] += one.spent_ns
    for kind, spent_ns in spent.most_common():
        part = spent_ns / max(spent.total(), 1)
        most = f", most of that in {cut(native.most_common(1)[0][0], _MAX_CALL)}" if kind == "native" else ""
        if part >= _NOTABLE:
            yield share(f"cpu_{kind}", part, f"{{}} of its CPU time in {_KINDS[kind]}{most}")


def _explain_sleep(request: Request) -> Explanation:
    return Explanation(waited(request, "sleep", "a timer"), _SLEEP_ADVICE)


RULES: Final[tuple[Rule, ...]] = (cpu, gc, sleep)
