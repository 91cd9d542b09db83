"""What an HTML report tells of judged requests beside the report: flame graphs; of the slowest their courses."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.correlator.wording import duration
from perfwatch.agent.course import course_of
from perfwatch.agent.flame import flame_of
from perfwatch.agent.report_html.document import MAX_REQUESTS, Drawn
from perfwatch.agent.report_html.flames import Flame
from perfwatch.agent.report_html.requests import Detail
from perfwatch.agent.report_slowest import slowest
from perfwatch.agent.trees.absence import is_code_known, why_no_stacks
from perfwatch.agent.trees.spent import spent_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from perfwatch.agent.model import Request, SessionInfo, StackTime, View
    from perfwatch.agent.report_contract import Report

_FLAMES: Final = 12
"""So many endpoints get a graph of their own."""


def drawn_of(report: Report, info: SessionInfo, view: View, requests: Sequence[Request]) -> Drawn:
    """Return what is drawn of these requests: where some code is known, all together and each endpoint."""
    known = {request.record.id: request for request in requests}
    told = (known.get(one.id) for one in slowest(report.slow_requests, MAX_REQUESTS))
    details = {one.record.id: _detail(one, view) for one in told if one is not None}
    return Drawn(_flames(requests), ". ".join(why_no_stacks(info)), details)


def _detail(request: Request, view: View) -> Detail:
    return Detail(course_of(request, view.peers), request.verdict.advice if request.verdict else ())


def _flames(requests: Sequence[Request]) -> list[Flame]:
    groups: dict[str, list[Request]] = {}
    for request in requests:
        groups.setdefault(" ".join(request.endpoint), []).append(request)
    costly = sorted(groups.items(), key=lambda group: -sum(request.ledger.total_ns for request in group[1]))
    named = [*([("All endpoints", list(requests))] if len(groups) > 1 else ()), *costly[:_FLAMES]]
    return [flame for name, group in named if (flame := _flame(name, group)) is not None]


def _flame(name: str, requests: Sequence[Request]) -> Flame | None:
    stacks = _summed(stack for request in requests for stack in request.stacks)
    if not is_code_known(stacks):
        return None
    total_ns, told = spent_on(stacks)
    return Flame(f"{name}: {duration(total_ns)} in {len(requests)} judged requests", told, flame_of(stacks))


def _summed(stacks: Iterable[StackTime]) -> list[StackTime]:
    """Put together the stacks that differ in their time only: a graph tells the largest one by one."""
    spent: Counter[StackTime] = Counter()
    for stack in stacks:
        spent[msgspec.structs.replace(stack, spent_ns=0)] += stack.spent_ns
    return [msgspec.structs.replace(stack, spent_ns=ns) for stack, ns in spent.items()]
