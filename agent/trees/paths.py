"""The way through the code that a stack tells, from the outermost function on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.trees.reasons import UNKNOWN
from perfwatch.probes.frames import Frame

if TYPE_CHECKING:
    from perfwatch.agent.model import StackTime

MAX_DEPTH: Final = 200
"""Frames of a path: what draws trees walks them by recursion."""
_CUT: Final = Frame("[outer frames left out]", "", 0)


def path_of(stack: StackTime) -> list[Frame]:
    """Return the frames from the outermost; of a stack that is too deep, the innermost."""
    if not stack.frames:
        return [] if stack.bucket == "queue" else [Frame(UNKNOWN, "", 0)]
    kept = list(reversed(stack.frames[:MAX_DEPTH]))
    return kept if len(stack.frames) <= MAX_DEPTH else [_CUT, *kept]
