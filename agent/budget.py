"""The overhead budget: what the collector's process may use of a core, and which probe gives way when it uses more.

Pure: figures in, at most one decision a second out. When the mean of some seconds lies above the budget, the dearest
probe that may be read less often has its period doubled, or, where that will not do, made four times as long; when
there has been room for a while, it is halved, never below what was asked for. A probe that had to give way again after
that has to wait twice as long.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOW: Final = 3
"""So many seconds are averaged; after a change, as many pass before the next."""
ROOM: Final = 0.8
"""A probe gets its rate back if with it less than this part of the budget would be used."""
PATIENCE: Final = 10
"""For so many seconds in a row."""
_MAX_DOUBLINGS: Final = 5
_WORTH: Final = 0.05
"""A probe that uses less than this part of the budget is not the reason, and is left alone."""


class Expense(NamedTuple):
    """One probe that is running."""

    name: str
    reading_ns: float
    """CPU time of one reading, on average."""
    period_ns: int
    asked_ns: int
    """The period that it has without a budget."""
    slowest_ns: int

    @property
    def share(self) -> float:
        """What it uses of a core."""
        return self.reading_ns / self.period_ns

    @property
    def may_be_slower(self) -> bool:
        """Whether there is a longer period."""
        return self.period_ns < self.slowest_ns

    def slower_ns(self, excess: float) -> int:
        """Return the next longer period; the one after that, where the next would not save `excess` of a core."""
        times = 2 if self.share / 2 >= excess else 4
        return min(self.period_ns * times, self.slowest_ns)

    @property
    def faster_ns(self) -> int:
        """The next shorter period; the present one, where there is none."""
        return min(max(self.period_ns // 2, self.asked_ns), self.period_ns)


class Change(NamedTuple):
    """A probe is to be read at another rate."""

    name: str
    period_ns: int
    was_ns: int
    reason: str


class Budget:
    """Decides once a second; its memory is some seconds long."""

    def __init__(self, share: float) -> None:
        self.share = share
        self._used: deque[float] = deque(maxlen=WINDOW)
        self._calm: dict[str, int] = {}
        """How many seconds in a row there has been room for a probe that gave way."""
        self._restored: set[str] = set()
        """Probes that got a rate back."""
        self._regrets: dict[str, int] = {}
        """How often a probe had to give way again after that."""

    def decide(self, used: float, expenses: Sequence[Expense]) -> Change | None:
        """Take in what the process used of a core in the last second; return what is to change, if anything."""
        self._used.append(used)
        mean = sum(self._used) / len(self._used)
        restorable = self._with_room(mean, expenses)
        if len(self._used) < WINDOW:
            return None
        if mean > self.share:
            return self._slow_down(mean, expenses)
        for expense in restorable:
            if self._calm[expense.name] >= self._patience(expense.name):
                return self._give_back(mean, expense)
        return None

    def _with_room(self, mean: float, expenses: Sequence[Expense]) -> list[Expense]:
        """Count the seconds for which there was room for each probe that gave way; the most slowed one first."""
        found = [
            expense
            for expense in expenses
            if expense.faster_ns < expense.period_ns
            and mean + expense.reading_ns / expense.faster_ns - expense.share < ROOM * self.share
        ]
        self._calm = {expense.name: self._calm.get(expense.name, 0) + 1 for expense in found}
        return sorted(found, key=lambda expense: expense.asked_ns / expense.period_ns)

    def _slow_down(self, mean: float, expenses: Sequence[Expense]) -> Change | None:
        able = [expense for expense in expenses if expense.may_be_slower and expense.share >= _WORTH * self.share]
        if not able:
            return None
        dearest = max(able, key=lambda expense: expense.share)
        self._used.clear()
        if dearest.name in self._restored:
            self._restored.remove(dearest.name)
            self._regrets[dearest.name] = self._regrets.get(dearest.name, 0) + 1
        reason = f"perfwatch used {mean:.1%} of a core; its budget is {self.share:.1%}"
        return Change(dearest.name, dearest.slower_ns(mean - self.share), dearest.period_ns, reason)

    def _give_back(self, mean: float, expense: Expense) -> Change:
        self._used.clear()
        self._calm.clear()
        self._restored.add(expense.name)
        reason = f"there is room again: perfwatch used {mean:.1%} of a core; its budget is {self.share:.1%}"
        return Change(expense.name, expense.faster_ns, expense.period_ns, reason)

    def _patience(self, name: str) -> int:
        return PATIENCE << min(self._regrets.get(name, 0), _MAX_DOUBLINGS)
