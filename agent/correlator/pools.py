"""Why a request waited for a pooled connection or a permit: who had it, for how long, and what they did with it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import (
    Explanation,
    amount,
    counted,
    longest,
    milliseconds,
    released,
    request_of,
    serving,
    waits_in,
)
from perfwatch.agent.correlator.holding import explain_holder, holdings
from perfwatch.agent.correlator.lines import line_before
from perfwatch.agent.correlator.refining import pooled
from perfwatch.agent.correlator.routes import fold
from perfwatch.agent.correlator.wording import cut, percent
from perfwatch.agent.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.correlator.givers import Giver
    from perfwatch.agent.model import Request, Wait

_MAX_NAME: Final = 80
_MOSTLY: Final = 0.5
_ADVICE: Final = (
    "Hold it for less{}: give it back before slow work (other services, rendering, sleeping), not with the response.",
    "If what it guards can take more at once, make it larger (each worker process has its own).",
    "Wait for it with a timeout well below your latency goal: then an empty pool is an error and not a hang.",
)


def pool_waits(request: Request) -> tuple[Wait, ...]:
    """Return the waits for something that others had and gave back."""
    return tuple(wait for wait in waits_in(request, "lock") if pooled(wait))


def pooled_ns(request: Request) -> int:
    """Return how much of `lock` they are, as far as single waits of 1 ms or more tell."""
    return max(min(sum(wait.blocked_ns for wait in pool_waits(request)), request.ledger["lock"]), 0)


def explain_pool(request: Request, context: Context) -> Explanation:
    """Say what it waited for, and which requests gave it back at last."""
    waits, spent_ns = pool_waits(request), pooled_ns(request)
    spent: Counter[str] = Counter()
    for wait in waits:
        spent[pooled(wait) or ""] += wait.blocked_ns
    what = spent.most_common(1)[0][0].partition(" in ")[0]
    held = holdings(request, waits, context)
    holder = list(explain_holder(held, spent_ns, "gave it back", context))
    evidence = [
        amount("pool", spent_ns, f"waited {{}} for {what}, in {counted(len(waits), 'wait')} of 1 ms or more"),
        Evidence("permit", cut(what, _MAX_NAME), f"what it waited for: {cut(what, _MAX_NAME)}"),
        *holder,
        *_givers(request, waits, spent_ns, context),
    ]
    if not holder:
        evidence += _waker(waits, context)
    place = next((f" in {one.value}" for one in holder if one.name == "holder"), "")
    first, *more = _ADVICE
    return Explanation(tuple(evidence), (first.format(place), *more))


def given_back(told: Sequence[Evidence], giver: Giver | None) -> Explanation:
    """Add to an endpoint's verdict whose requests gave back what its own waited for, if those could not name them."""
    if giver is None or any(one.name in ("giver", "holder") for one in told):
        return Explanation((), ())
    name = f"{giver.endpoint[0]} {giver.endpoint[1]}"
    text = (
        f"{percent(giver.kept_ns / giver.whole_ns)} of that time ended at the very moment "
        f"at which a request of {name} did: it gave it back"
    )
    return Explanation((Evidence("giver", name, text),), ())


def _givers(request: Request, waits: tuple[Wait, ...], spent_ns: int, context: Context) -> Iterator[Evidence]:
    """Name the endpoint whose requests had it for longest, and how long those took that gave it back themselves."""
    kept: Counter[str] = Counter()
    took: dict[str, list[int]] = {}
    for wait in waits:
        for one in line_before(request.record.code, wait, context.traffic):
            giver = request_of(one.holder, context)
            if giver is not None and giver.id != request.record.id:
                name = f"{giver.method or '?'} {fold(giver.target)}"
                kept[name] += one.kept_ns
                took.setdefault(name, []).append(max(wait.started_ns + wait.blocked_ns - giver.started_ns, 0))
    for name, kept_ns in kept.most_common(1):
        many = counted(len(took[name]), "request")
        text = (
            f"{milliseconds(kept_ns):.1f} ms of it until {many} of {name} gave it back, "
            f"after {milliseconds(max(took[name])):.1f} ms of service at most"
        )
        yield Evidence("giver" if kept_ns >= _MOSTLY * spent_ns else "one_giver", name, text)


def _waker(waits: tuple[Wait, ...], context: Context) -> Iterator[Evidence]:
    worst = longest(waits)
    if worst is None or worst.waker is None:
        return
    giver = request_of(worst.waker, context)
    if giver is None:
        yield from released(worst, context)
    else:
        yield from serving(giver)
