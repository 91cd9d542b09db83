"""What an HTML report draws of judged requests beside the report: flame graphs, and the courses of the slowest."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.wording import duration, percent
from perfwatch.agent.course import course_of
from perfwatch.agent.flame import flame_of
from perfwatch.agent.report_html.document import Drawn
from perfwatch.agent.report_html.flames import Flame
from perfwatch.agent.report_html.requests import slowest
from perfwatch.agent.trees.absence import is_code_known, why_no_stacks
from perfwatch.agent.trees.reasons import Reason, reason_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model import Request, SessionInfo, View
    from perfwatch.agent.report_contract import Report

_FLAMES: Final = 12
"""So many endpoints get a graph of their own."""
_COURSES: Final = 30
_NAMED: Final = 6
_LEAST: Final = 0.005


def drawn_of(report: Report, info: SessionInfo, view: View, requests: Sequence[Request]) -> Drawn:
    """Return what is drawn of these requests: where some code is known, all together and each endpoint."""
    known = {request.record.id: request for request in requests}
    told = (known.get(one.id) for one in slowest(report, _COURSES))
    courses = {one.record.id: course_of(one, view.peers) for one in told if one is not None}
    return Drawn(_flames(requests), ". ".join(why_no_stacks(info)), courses)


def _flames(requests: Sequence[Request]) -> list[Flame]:
    groups: dict[str, list[Request]] = {}
    for request in requests:
        groups.setdefault(" ".join(request.endpoint), []).append(request)
    costly = sorted(groups.items(), key=lambda group: -sum(request.ledger.total_ns for request in group[1]))
    named = [*([("All endpoints", list(requests))] if len(groups) > 1 else ()), *costly[:_FLAMES]]
    return [flame for name, group in named if (flame := _flame(name, group)) is not None]


def _flame(name: str, requests: Sequence[Request]) -> Flame | None:
    stacks = [stack for request in requests for stack in request.stacks]
    if not is_code_known(stacks):
        return None
    spent: Counter[Reason] = Counter()
    for stack in stacks:
        spent[reason_of(stack)] += stack.spent_ns
    total_ns = spent.total() or 1
    largest = [(reason, ns / total_ns) for reason, ns in spent.most_common(_NAMED) if ns > _LEAST * total_ns]
    told = ", ".join(f"{reason} {percent(share)}" for reason, share in largest)
    return Flame(f"{name}: {duration(spent.total())} in {len(requests)} judged requests", told, flame_of(stacks))
