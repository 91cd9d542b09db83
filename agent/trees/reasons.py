"""Why a thread was in its code: the last branch of a path, marked so that no name of the target passes for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast, get_args

from perfwatch.agent.buckets import GC_MEANING, MEANING
from perfwatch.agent.model import Bucket

if TYPE_CHECKING:
    from pyinstrument.frame import Frame

    from perfwatch.agent.model import StackTime

Reason: TypeAlias = Bucket | Literal["gc"]
UNKNOWN: Final = "[code not known]"
"""What stands for the code of time without a stack."""
RAN: Final[frozenset[Reason]] = frozenset({"on_cpu", "gc"})
"""Not waits: the thread had a CPU."""
_REASONS: Final = frozenset((*get_args(Bucket), "gc"))
_MARK: Final = "w"
"""First letter of the attribute that pyinstrument keeps with such a branch; its own are c, h and l."""


def reason_of(stack: StackTime) -> Reason:
    """Return what the time of a stack was spent on."""
    return "gc" if stack.is_gc else stack.bucket


def attribute(reason: Reason) -> str:
    """Return the mark of a branch."""
    return _MARK + reason


def marked(attributes: dict[str, float]) -> Reason | None:
    """Return the reason that the attributes of a pyinstrument frame tell; None for a frame of code."""
    told = (name[1:] for name in attributes if name.startswith(_MARK))
    return cast("Reason | None", next((name for name in told if name in _REASONS), None))


def meaning(reason: Reason) -> str:
    """Say in words what the thread was doing."""
    return GC_MEANING if reason == "gc" else MEANING[reason]


def described(frame: Frame) -> tuple[str, str]:
    """Return the name and the place of a line in a tree; pyinstrument's `[self]` is time on a CPU."""
    return ("[on_cpu]", "ran itself") if frame.is_synthetic else (frame.function, frame.code_position_short() or "")
