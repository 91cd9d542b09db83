"""The garbage collector's own state in an interpreter's memory: whether it runs, how often it ran, and for whom.

CPython 3.8 to 3.13, `struct _gc_runtime_state`, of the main interpreter. The counts of collections grow while the flag
is set. Cost: 2 us.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from perfwatch.probes.cpython.python import Python

_GENERATIONS: Final = 3
_INT: Final = struct.Struct("<i")
_LIMITS: Final = struct.Struct("<ii")
"""Threshold and count of a generation."""
_RAN: Final = struct.Struct("<q")
FLAG_BYTES: Final = _INT.size


class Collector(NamedTuple):
    """The collector's state at one moment; of each generation, the youngest first."""

    is_running: bool
    ran: tuple[int, int, int]
    """How often it collected this generation, and those younger, since the start of the interpreter."""
    thresholds: tuple[int, int, int]
    counts: tuple[int, int, int]
    """Of the youngest: its objects; of another: how often the next younger one was collected since it was itself."""


class CollectorState:
    """Reads the collector of one interpreter."""

    def __init__(self, python: Python) -> None:
        layout = python.layout
        start = layout.get("is.gc")
        base = python.runtime + layout["rt.gc"] if start is None else python.interpreter_state + start
        self.flag = base + layout["gc.collecting"]
        """Address of the flag that is 1 while it runs."""
        self._memory = python.memory
        self._address = base + layout["gc.generations"]
        self._size = self.flag + FLAG_BYTES - self._address
        stats = layout["gc.stats"] - layout["gc.generations"]
        self._limits = [place * layout["sz.generation"] + layout["gen.threshold"] for place in range(_GENERATIONS)]
        self._ran = [stats + place * layout["sz.stats"] for place in range(_GENERATIONS)]

    def read(self) -> Collector | None:
        """Return the state; None where it cannot be read. Raises Vanished."""
        data = self._memory.read(self._address, self._size)
        if data is None:
            return None
        limits = [_LIMITS.unpack_from(data, at) for at in self._limits]
        first, second, third = (int(_RAN.unpack_from(data, at)[0]) for at in self._ran)
        return Collector(
            is_running=data[-FLAG_BYTES:] != bytes(FLAG_BYTES),
            ran=(first, second, third),
            thresholds=(limits[0][0], limits[1][0], limits[2][0]),
            counts=(limits[0][1], limits[1][1], limits[2][1]),
        )
