"""How much memory the processes of the target held since the first reading, one by one and in all."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.growth import growth
from perfwatch.agent.correlator.thinned import Thinned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model_memory import Growth
    from perfwatch.probes.samples import ProcessMemory

MAX_PROCESSES: Final = 64
_FITTED: Final = 300
"""Readings that a growth is told of: five minutes, at one a second."""
_FIT_NS: Final = 5_000_000_000
_STALE_NS: Final = 40_000_000_000
"""A process that was not read for longer has ended: memory is read every 30 s at least."""
_SAME_NS: Final = 500_000_000
"""Readings of all processes are made at the same moment."""


class Held:
    """What something held over time, and by how much that grew."""

    def __init__(self) -> None:
        self.past = Thinned()
        self._lately: deque[tuple[int, int]] = deque(maxlen=_FITTED)
        self._growth: Growth | None = None
        self._fit_ns = 0

    def add(self, at_ns: int, value: int) -> None:
        """Take in a reading; one at the same moment as the last replaces it."""
        if self._lately and self._lately[-1][0] == at_ns:
            self._lately.pop()
        self._lately.append((at_ns, value))
        self.past.add(at_ns, value)

    @property
    def growth(self) -> Growth | None:
        """By how much it grew in the last five minutes; fitted every 5 s, which costs 0.2 ms."""
        at_ns = self._lately[-1][0] if self._lately else 0
        if at_ns >= self._fit_ns:
            self._fit_ns, self._growth = at_ns + _FIT_NS, growth(tuple(self._lately))
        return self._growth


class OfProcess(Held):
    """One process: also its newest reading, and those figures that are read more seldom."""

    def __init__(self, first: ProcessMemory) -> None:
        super().__init__()
        self.latest = first
        self.pss_bytes, self.uss_bytes = first.pss_bytes, first.uss_bytes

    def sample(self, sample: ProcessMemory) -> None:
        """Take in a reading."""
        self.add(sample.at_ns, max(sample.rss_bytes, 0))
        self.latest = sample
        self.pss_bytes = self.pss_bytes if sample.pss_bytes is None else sample.pss_bytes
        self.uss_bytes = self.uss_bytes if sample.uss_bytes is None else sample.uss_bytes


class MemoryPast:
    """All processes."""

    def __init__(self) -> None:
        self._of: dict[int, OfProcess] = {}
        self.total = Held()
        self._sum: tuple[int, int] = (0, 0)

    def sample(self, sample: ProcessMemory) -> None:
        """Take in the figures of one process; costs about 2 us."""
        self._forget(sample.at_ns)
        kept = self._of.get(sample.pid)
        if kept is None or kept.latest.at_ns >= sample.at_ns:
            if len(self._of) >= MAX_PROCESSES and sample.pid not in self._of:
                return
            kept = self._of[sample.pid] = OfProcess(sample)
        kept.sample(sample)
        at_ns, sum_ = self._sum
        if at_ns and sample.at_ns - at_ns >= _SAME_NS:
            self.total.add(at_ns, sum_)
        self._sum = (sample.at_ns, max(sample.rss_bytes, 0) + (sum_ if sample.at_ns - at_ns < _SAME_NS else 0))

    def _forget(self, now_ns: int) -> None:
        for pid in [pid for pid, kept in self._of.items() if now_ns - kept.latest.at_ns > _STALE_NS]:
            del self._of[pid]

    def processes(self) -> Iterator[OfProcess]:
        """Yield those that live."""
        newest_ns = max((kept.latest.at_ns for kept in self._of.values()), default=0)
        return (kept for kept in self._of.values() if newest_ns - kept.latest.at_ns < _SAME_NS)
