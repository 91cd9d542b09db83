"""All that a thread did in a window, in bounded room: neighbours are told as one where there are too many."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Final

from perfwatch.agent.model_threads import Stretch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model_threads import Doing

KEPT: Final = 120
_SECOND_NS: Final = 1_000_000_000


class ThreadPast:
    """Stretches of a thread in order of time, each of about a step, which doubles when there are too many."""

    __slots__ = ("_step_ns", "_stretches", "lived_ns", "ran_ns", "waited_ns")

    def __init__(self) -> None:
        self._stretches: list[Stretch] = []
        self._step_ns = _SECOND_NS
        self.lived_ns = self.ran_ns = self.waited_ns = 0
        """Of all readings that count both: between them, on a CPU, and able to run without one."""

    def count(self, lived_ns: int, ran_ns: int | None, waited_ns: int | None) -> None:
        """Take in what was counted between two readings; costs less than 1 us."""
        if ran_ns is not None:
            self.lived_ns += lived_ns
            self.ran_ns += ran_ns
            self.waited_ns += waited_ns or 0

    def add(self, stretch: Stretch) -> None:
        """Take in the one that follows."""
        kept = self._stretches
        if kept and stretch.until_ns - kept[-1].from_ns <= self._step_ns:
            kept[-1] = joined((kept[-1], stretch))
            return
        kept.append(stretch)
        if len(kept) > KEPT:
            self._step_ns *= 2
            pairs = zip(islice(kept, 0, None, 2), islice(kept, 1, None, 2), strict=False)
            self._stretches = [*map(joined, pairs), *kept[len(kept) // 2 * 2 :]]

    @property
    def told(self) -> tuple[Stretch, ...]:
        """What is kept."""
        return tuple(self._stretches)


def joined(stretches: Sequence[Stretch]) -> Stretch:
    """Return one stretch in place of some that follow each other."""
    spent: Counter[Doing | None] = Counter()
    for one in stretches:
        for doing, ns in one.spent:
            spent[doing] += ns
    return Stretch(stretches[0].from_ns, stretches[-1].until_ns, tuple(spent.most_common()))
