"""One step of a request's course, and how steps are put together where there is no room for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from perfwatch.agent.model import Bucket, Waker  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Stretch: TypeAlias = tuple[int, int]
"""From, until; nanoseconds since the request came."""
_NOTABLE: Final = 0.005
"""Part of the whole."""
_FEW: Final = 2


class Step(msgspec.Struct, frozen=True):
    """One thing that a request did or waited for, or several alike."""

    bucket: Bucket | None
    """None: unaccounted."""
    spent_ns: int
    """What the ledger has of it."""
    stretches: tuple[Stretch, ...]
    """When, in order of time; of a sum: in which of these it lies somewhere."""
    what: str = ""
    """What it waited for or asked; untrusted, as the next two are."""
    place: str = ""
    """Where in its code."""
    whom: str = ""
    """On whom it waited."""
    request: int | None = None
    """Id of the request that is to blame for it, or that it made in another service."""
    thread: Waker | None = None
    """The thread that ended it, or had the CPU meanwhile."""
    count: int = 1
    """So many alike."""
    is_sum: bool = False
    """Of what was not told one by one."""
    parts: tuple[Step, ...] = ()
    """What it was put together of, where that is not alike: then it has no bucket of its own."""

    @property
    def begin_ns(self) -> int:
        """When it began, as far as that is known."""
        return self.stretches[0][0] if self.stretches else 0


def fitted(steps: Sequence[Step], room: int) -> tuple[Step, ...]:
    """Put steps together until they fit: first those that are alike, then the shortest as one rest; none is lost.

    Sums that are next to nothing are of the rest anyway.
    """
    total_ns = sum(step.spent_ns for step in steps)
    small = {id(step) for step in steps if step.is_sum and step.spent_ns < _NOTABLE * total_ns}
    if len(steps) - max(len(small) - 1, 0) > room:
        steps = _alike(steps)
        small = {id(step) for step in sorted(steps, key=lambda step: -step.spent_ns)[max(room - 1, 0) :]}
    rest = [step for step in steps if id(step) in small]
    if len(rest) < _FEW:
        return tuple(steps)
    return (*(step for step in steps if id(step) not in small), _rest(rest))


def length(stretch: Stretch) -> int:
    """Return how long it is."""
    return stretch[1] - stretch[0]


def between(stretches: Iterable[Stretch], total_ns: int) -> tuple[Stretch, ...]:
    """Return what lies between stretches that do not overlap, from 0 to the end."""
    return without((0, total_ns), stretches)


def without(whole: Stretch, taken: Iterable[Stretch]) -> tuple[Stretch, ...]:
    """Return what is left of a stretch."""
    left, at = [], whole[0]
    for begin, end in sorted(taken):
        if end <= at or begin >= whole[1]:
            continue
        if begin > at:
            left.append((at, begin))
        at = max(at, end)
    return (*left, (at, whole[1])) if at < whole[1] else tuple(left)


def _alike(steps: Sequence[Step]) -> list[Step]:
    """Put together the steps that say the same, at the place of their first; who is to blame is that of the longest."""
    groups: dict[tuple[object, ...], list[Step]] = {}
    for step in steps:
        key = (step.bucket, step.is_sum, step.what, step.place, step.whom)
        groups.setdefault(key, []).append(step)
    return [_together(group) for group in groups.values()]


def _together(group: Sequence[Step]) -> Step:
    longest = max(group, key=lambda step: step.spent_ns)
    return msgspec.structs.replace(
        longest,
        spent_ns=sum(step.spent_ns for step in group),
        stretches=tuple(sorted(stretch for step in group for stretch in step.stretches)),
        count=sum(step.count for step in group),
    )


def _rest(steps: Sequence[Step]) -> Step:
    return Step(
        None,
        sum(step.spent_ns for step in steps),
        tuple(sorted(stretch for step in steps for stretch in step.stretches)),
        count=sum(step.count for step in steps),
        parts=tuple(sorted(steps, key=lambda step: -step.spent_ns)),
    )
