"""perfwatch's own cost, once a second: told in a record, and held against the budget."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import psutil

from perfwatch.agent.budget import Budget
from perfwatch.agent.reading import next_beat
from perfwatch.probes.samples import CollectorSample, RateChange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.reading import Reading
    from perfwatch.probes.records import Record

PERIOD_S: Final = 1.0
_LEAST_S: Final = 0.1


class Housekeeping:
    """Counts from `begin` on: what attaching costs is not held against the budget."""

    def __init__(self, budget: float) -> None:
        self._budget = Budget(budget)
        self._process = psutil.Process()
        self.begin(0.0)

    def begin(self, now_s: float) -> None:
        """Start to count."""
        self._last_s, self._last_cpu_ns = now_s, time.process_time_ns()
        self.due_s = now_s + PERIOD_S

    def keep(self, now_s: float, readings: Sequence[Reading]) -> list[Record]:
        """Sample the process, and change at most one probe's rate."""
        self.due_s = next_beat(self.due_s, PERIOD_S, now_s)
        cpu_ns = time.process_time_ns() + sum(reading.children_ns for reading in readings)
        passed_s = now_s - self._last_s
        used = (cpu_ns - self._last_cpu_ns) / 1e9 / max(passed_s, _LEAST_S)
        self._last_s, self._last_cpu_ns = now_s, cpu_ns
        at_ns = time.monotonic_ns()
        change = self._budget.decide(used, [reading.expense() for reading in readings])
        records: list[Record] = []
        if change:
            next(reading for reading in readings if reading.name == change.name).change(change.period_ns)
            records.append(RateChange(at_ns, change.name, change.period_ns, change.was_ns, change.reason))
        costs = tuple(reading.cost() for reading in readings)
        records.append(CollectorSample(at_ns, cpu_ns, self._process.memory_info().rss, self._budget.share, costs))
        return records
