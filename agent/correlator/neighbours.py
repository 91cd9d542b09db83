"""What is said of the processes at the other end of a request's calls: their names, and what they did meanwhile."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import Explanation, Finding, counted, milliseconds
from perfwatch.agent.correlator.wording import does_here, duration, percent
from perfwatch.agent.model import BUCKETS, Evidence, Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.model import Callee, Request

_OF_CALLS: Final[frozenset[str]] = frozenset({"dependency", "chatty", "transfer", "connect", "tls"})
"""Mechanisms that blame the peer of calls."""
_IN_PEER: Final[frozenset[str]] = frozenset({"dependency", "chatty", "transfer"})
"""Of them those whose time the peer's own request may explain."""
_BLAMED: Final = ("holder", "culprit")
_NOTABLE: Final = 0.05
_MAX_ADVICE: Final = 3


def with_neighbours(finding: Finding, request: Request, context: Context) -> Finding:
    """Return a finding that also says who the peer is, and what the call was at its other end."""
    if finding.mechanism not in _OF_CALLS:
        return finding
    return finding._replace(explain=partial(_explain, finding, request, context))


def _explain(finding: Finding, request: Request, context: Context) -> Explanation:
    told = finding.explain()
    first, rest = told.evidence[:1], told.evidence[1:]
    callee = max(request.callees, key=lambda one: one.ledger.total_ns, default=None)
    if callee is None or finding.mechanism not in _IN_PEER:
        return Explanation((*first, *_peer_process(told, request, context), *rest), told.advice)
    evidence = (*first, *_callee(callee), *_others(request, callee), *rest)
    there = (f"In {callee.process}: {callee.verdict.advice[0]}",) if callee.verdict.advice else ()
    return Explanation(evidence, (*there, *told.advice)[:_MAX_ADVICE])


def _peer_process(told: Explanation, request: Request, context: Context) -> Iterator[Evidence]:
    """Name the process that listens where the request waited, if it is one of this host."""
    address = next((str(one.value) for one in told.evidence if one.name == "peer"), None)
    found = None if address is None else context.around.services.called(request.record.pid, address)
    if found is not None:
        name = f"{found.name} (pid {found.pid})"
        watched = ", which is watched too" if found.is_target else ""
        yield Evidence("peer_process", name, f"there listens {name}{watched}")


def _callee(callee: Callee) -> Iterator[Evidence]:
    """Say which request it was there, where its time went, and why; what tells most stands first."""
    name, verdict = f"{callee.method} {callee.route}", callee.verdict
    took = duration(callee.ledger.total_ns)
    yield Evidence("callee", name, f"{name} took {took} of it in {callee.process}")
    yield Evidence("callee_process", callee.process, f"which was asked of {callee.process}")
    if verdict.mechanism is not None:
        does = does_here(verdict.mechanism, verdict.evidence)
        yield Evidence("callee_does", does, f"there it {verdict.summary}")
        yield Evidence("callee_mechanism", verdict.mechanism, f"there the mechanism is {verdict.mechanism}")
    ledger = _ledger(callee.ledger)
    yield Evidence("callee_ledger", ledger, f"its ledger there: {ledger}")
    for one in verdict.evidence:
        if one.name in _BLAMED:
            yield Evidence(f"callee_{one.name}", one.value, f"there: {one.text}")
    yield Evidence("callee_request", callee.request, f"there it was request {callee.request}")


def _others(request: Request, callee: Callee) -> Iterator[Evidence]:
    others = [one for one in request.callees if one is not callee]
    if others:
        took = milliseconds(sum(one.ledger.total_ns for one in others))
        told = f"{counted(len(others), 'other call')} of it {'was' if len(others) == 1 else 'were'} followed"
        yield Evidence("other_callees", len(others), f"{told} too, which took {took:.1f} ms")


def _ledger(ledger: Ledger) -> str:
    """Return the buckets that hold at least 5 %, the largest first: `lock 92 %, on_cpu 6 %`."""
    shares = {bucket: ledger.share(bucket) for bucket in BUCKETS}
    named = sorted((bucket for bucket in BUCKETS if shares[bucket] >= _NOTABLE), key=lambda one: -shares[one])
    return ", ".join(f"{bucket} {percent(shares[bucket])}" for bucket in named) or "nothing is booked"
