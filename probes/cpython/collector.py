"""The state of the garbage collector: whether it runs, its thresholds, counts and statistics.

They are what `gc.isenabled()`, `gc.get_threshold()`, `gc.get_count()` and `gc.get_stats()` say. Cost: 3 us to read, 15
us to make something of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.objects import integer
from perfwatch.probes.frames import Generation

if TYPE_CHECKING:
    from perfwatch.probes.cpython.python import Python

GENERATIONS: Final = 3
_INT: Final = 4


class CollectorState(NamedTuple):
    """The collector at one moment."""

    enabled: bool | None
    collecting: bool
    generations: tuple[Generation, ...]
    """The youngest first; empty where this version does not say where they lie."""


class Collector:
    """The collector of one Python's main interpreter."""

    def __init__(self, python: Python) -> None:
        self._memory = python.memory
        self._layout = layout = python.layout
        own = layout.get("is.gc")
        self.address = python.runtime + layout["rt.gc"] if own is None else python.interpreter_state + own
        """Of its state; `collecting` lies at the layout's `gc.collecting` behind it."""
        self.size = layout.get("sz.gc") or layout["gc.collecting"] + _INT
        """Of what is read."""

    def read(self) -> CollectorState | None:
        """Return its state; None if that cannot be read. Raises Vanished."""
        data = self._memory.read(self.address, self.size)
        return self.parse(data) if data else None

    def parse(self, data: bytes) -> CollectorState:
        """Make it of `size` bytes at `address`."""
        layout = self._layout
        collecting, enabled = layout["gc.collecting"], layout.get("gc.enabled")
        count = GENERATIONS if layout.get("gc.stats") is not None else 0
        return CollectorState(
            enabled=None if enabled is None else bool(integer(data, enabled, _INT)),
            collecting=bool(integer(data, collecting, _INT)),
            generations=tuple(self._generation(data, number) for number in range(count)),
        )

    def _generation(self, data: bytes, number: int) -> Generation:
        layout = self._layout
        generation = layout["gc.generations"] + number * layout["sz.generation"]
        stats = layout["gc.stats"] + number * layout["sz.stats"]
        return Generation(
            threshold=_signed(data, generation + layout["gen.threshold"], _INT),
            count=_signed(data, generation + layout["gen.count"], _INT),
            collections=_signed(data, stats + layout["stat.collections"]),
            collected=_signed(data, stats + layout["stat.collected"]),
            uncollectable=_signed(data, stats + layout["stat.uncollectable"]),
        )


def _signed(data: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "little", signed=True)
