"""A call tree as frozen values, for views that draw it themselves: made from pyinstrument's frames."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
from pyinstrument import processors

from perfwatch.agent.trees.reasons import Reason, described, marked

if TYPE_CHECKING:
    from pyinstrument.frame import Frame
    from pyinstrument.session import Session


class Branch(msgspec.Struct, frozen=True):
    """A function on a path from the root, or the reason why time was spent in one."""

    name: str
    """Of a reason: as in `Reason`, in brackets."""
    place: str
    """`orders.py:41`; of a reason: what it means; empty where nothing is known."""
    is_own: bool
    """The server's own code, not a library's."""
    reason: Reason | None
    """None for a function."""
    spent_ns: int
    """Here, and in what it called."""
    spent_on: tuple[tuple[Reason, int], ...]
    """The same by reason, the largest first."""
    branches: tuple[Branch, ...] = ()
    """What it called, and why it waited: the largest first. Less than all where it used a CPU itself."""


def branch_of(session: Session) -> Branch | None:
    """Return the root of a session's tree; None where it has no time."""
    frame = session.root_frame()
    for process in (
        processors.merge_consecutive_self_time,
        processors.aggregate_repeated_calls,
        processors.remove_unnecessary_self_time_nodes,
    ):
        frame = process(frame, options={})
    return None if frame is None else _branch(frame)


def _branch(frame: Frame) -> Branch:
    below = tuple(_branch(child) for child in frame.children)
    name, place = described(frame)
    spent_ns = round(frame.time * 1e9)
    reason = "on_cpu" if frame.is_synthetic else marked(frame.attributes)
    spent: Counter[Reason] = Counter()
    for branch in below:
        spent.update(dict(branch.spent_on))
    left_ns = spent_ns - spent.total()
    if left_ns > 0 or not below:
        spent[reason or "on_cpu"] += left_ns
    return Branch(
        name=name,
        place=place,
        is_own=frame.is_application_code and reason is None,
        reason=reason,
        spent_ns=spent_ns,
        spent_on=tuple(spent.most_common()),
        branches=below,
    )
