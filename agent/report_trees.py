"""The call tree of a report: of some requests together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.routes import asked_for
from perfwatch.agent.correlator.wording import duration
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.report_layout import block, rule
from perfwatch.agent.trees.absence import is_code_known, why_no_stacks
from perfwatch.agent.trees.session import session_of
from perfwatch.agent.trees.spent import spent_on
from perfwatch.agent.trees.text import tree_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyinstrument.session import Session

    from perfwatch.agent.model import Request, SessionInfo

_BELOW: Final = "Branches below 1 % are left out; their time counts to what called them."


class Tree(NamedTuple):
    """The call tree of some requests."""

    title: str
    spent_on: str
    """What their time was spent on: `lock 76 %, calls 14 %`."""
    session: Session


def tree_of(info: SessionInfo, requests: Sequence[Request]) -> Tree:
    """Return the one tree of all these requests; PerfwatchError where no code of them is known."""
    stacks = [stack for request in requests for stack in request.stacks]
    if not is_code_known(stacks):
        raise PerfwatchError(*why_no_stacks(info))
    total_ns, told = spent_on(stacks)
    name = _name(requests)
    session = session_of(stacks, name, info.unix_s(min(request.record.started_ns for request in requests)))
    counted = "" if len(requests) == 1 else f" in {len(requests)} judged requests"
    return Tree(f"{name}: {duration(total_ns)}{counted}", told, session)


def to_tree_text(tree: Tree, width: int, *, color: bool) -> str:
    """Return a tree below its heading, as lines of at most `width` cells."""
    heading = [rule("call tree", width), *block("", tree.title, width), *block("   ", tree.spent_on, width)]
    drawn = tree_text(tree.session, width, color=color)
    return "\n".join((*heading, "", drawn, *block("", _BELOW, width))) + "\n"


def _name(requests: Sequence[Request]) -> str:
    """Name what the requests have in common."""
    record = requests[0].record
    if len(requests) == 1:
        return asked_for(record.method, record.target)
    endpoints = {request.endpoint for request in requests}
    return " ".join(next(iter(endpoints))) if len(endpoints) == 1 else f"{len(endpoints)} endpoints"
