"""One probe that is being read at its rate, and what that costs."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from perfwatch.agent.budget import Expense
from perfwatch.probes.samples import ProbeCost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.probe import Probe
    from perfwatch.probes.records import Record

_LEAST_WEIGHT: Final = 1 / 16
"""Of the newest reading in the mean cost."""


def next_beat(due_s: float, period_s: float, now_s: float) -> float:
    """Return when something is due again that was due at `due_s`: beats that were missed are left out."""
    missed = max(now_s - due_s, 0.0) // period_s
    return due_s + (missed + 1) * period_s


class Reading:
    """Enters the probe when it is made (raises what that raises); `close` leaves it."""

    def __init__(self, probe: Probe, period_s: float | None, slowest_s: float) -> None:
        if period_s is not None:
            probe.period_s = period_s
        self.probe = probe
        self.name = probe.name
        self._asked_ns = _ns(probe.period_s)
        self._slowest_ns = max(_ns(slowest_s), self._asked_ns)
        self._readings = self._cpu_ns = self._records = 0
        self._mean_ns = 0.0
        self._due_s = 0.0
        with ExitStack() as stack:
            stack.enter_context(probe)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Leave the probe; may be called again."""
        self._stack.close()

    @property
    def due_s(self) -> float:
        """When it is to be read next; monotonic."""
        return self._due_s

    def is_half_due(self, now_s: float) -> bool:
        """Whether half a period has passed since it was due last."""
        return now_s >= self._due_s - self.probe.period_s / 2

    @property
    def period_ns(self) -> int:
        """Between readings, at present."""
        return _ns(self.probe.period_s)

    def begin(self, at_s: float) -> None:
        """Set the beat of its readings."""
        self._due_s = at_s

    def read(self, now_s: float) -> Sequence[Record]:
        """Read the probe; the next reading is the next of its beat."""
        self._due_s = next_beat(self._due_s, self._step_s(), now_s)
        before = time.thread_time_ns() + self.children_ns
        try:
            records = self.probe.read(time.monotonic_ns())
            self._records += len(records)
        finally:
            self._count(time.thread_time_ns() + self.children_ns - before)
        return records

    def change(self, period_ns: int) -> None:
        """Read it at another rate from now on."""
        self._due_s += (period_ns - self.period_ns) / 1e9
        self.probe.period_s = period_ns / 1e9

    def expense(self) -> Expense:
        """Return what the budget wants to know."""
        return Expense(self.name, self._mean_ns, self.period_ns, self._asked_ns, self._slowest_ns)

    @property
    def children_ns(self) -> int:
        """CPU time of the programs that the probe has run; most run none."""
        spent_ns: int = getattr(self.probe, "children_ns", 0)
        return spent_ns

    def cost(self) -> ProbeCost:
        """Return what it has cost so far."""
        return ProbeCost(self.name, self._readings, self._cpu_ns, self.period_ns, self._records)

    def _step_s(self) -> float:
        """Draw how long it is to the next reading: one that gave way would else keep step with what it looks at."""
        beats = self.period_ns // max(self._asked_ns, 1)
        if beats <= 1:
            return self.probe.period_s
        drawn = random.randint((beats + 1) // 2, 2 * beats - (beats + 1) // 2)  # noqa: S311 - nobody is to be kept from guessing it
        return self.probe.period_s * drawn / beats

    def _count(self, cpu_ns: int) -> None:
        self._readings += 1
        self._cpu_ns += cpu_ns
        self._mean_ns += (cpu_ns - self._mean_ns) * max(1 / self._readings, _LEAST_WEIGHT)


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
