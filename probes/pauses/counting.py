"""Whether the collector of an interpreter runs, and how often it ran: what is looked at ten times a second and more.

The counts of collections grow while the flag is set. Cost: 2 us, and 20 us where they have grown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.collector import Collector

if TYPE_CHECKING:
    from perfwatch.probes.cpython.python import Python

_FLAG_BYTES: Final = 4


class Counts(NamedTuple):
    """The collector at one moment; of each generation, the youngest first."""

    is_running: bool
    ran: tuple[int, ...]
    """How often it was collected, with those younger, since the start of the interpreter."""
    thresholds: tuple[int, ...]
    counts: tuple[int, ...]
    """How often the next younger one was collected since it was itself; of the youngest nothing of interest."""
    collected: tuple[int, ...] = (0, 0, 0)
    """How many objects its collections have freed in all."""


class CollectorCounts:
    """Reads the counts of one collector."""

    def __init__(self, python: Python) -> None:
        self._memory = python.memory
        self._collector = Collector(python)
        self._tail = slice(python.layout["gc.stats"], python.layout["gc.collecting"] + _FLAG_BYTES)
        self.flag = self._collector.address + python.layout["gc.collecting"]
        """Address of the flag that is 1 while it runs."""
        self._last_tail = b""
        self._last: Counts | None = None

    def read(self) -> Counts | None:
        """Return the counts; None where they cannot be read. Raises Vanished."""
        data = self._memory.read(self._collector.address, self._collector.size)
        if data is None:
            return None
        tail = data[self._tail]
        if tail != self._last_tail or self._last is None:
            self._last_tail, self._last = tail, self._parse(data)
        return self._last

    def _parse(self, data: bytes) -> Counts:
        state = self._collector.parse(data)
        return Counts(
            is_running=state.collecting,
            ran=tuple(each.collections for each in state.generations),
            collected=tuple(each.collected for each in state.generations),
            thresholds=tuple(each.threshold or 0 for each in state.generations),
            counts=tuple(each.count or 0 for each in state.generations),
        )
