"""What the time of some stacks was spent on, in words."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.wording import percent
from perfwatch.agent.trees.reasons import Reason, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.agent.model import StackTime

_NAMED: Final = 6
_LEAST: Final = 0.005
"""What would be told as 0 %."""


def spent_on(stacks: Iterable[StackTime]) -> tuple[int, str]:
    """Return the time in all, and what it was spent on: `lock 76 %, calls 14 %`."""
    spent: Counter[Reason] = Counter()
    for stack in stacks:
        spent[reason_of(stack)] += stack.spent_ns
    total_ns = spent.total()
    largest = [(reason, ns) for reason, ns in spent.most_common(_NAMED) if ns > _LEAST * total_ns]
    return total_ns, ", ".join(f"{reason} {percent(ns / total_ns)}" for reason, ns in largest)
