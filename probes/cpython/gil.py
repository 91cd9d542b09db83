"""Who holds the interpreter lock, and how often it changed hands.

`locked` says whether anybody holds it; `last_holder` is the thread state that holds it, or did last; `switch_number`
counts each time that it went to another thread than before (Python/ceval_gil.h). All three lie within 28 bytes, but are
not written at one moment: a reading in between names the holder before. Of interpreters with a lock of their own (3.12,
PEP 684) only the main one's is read. Cost: 3 us, nothing in the call that reads the stacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.objects import integer

if TYPE_CHECKING:
    from perfwatch.probes.cpython.python import Python

_INT: Final = 4
_ULONG: Final = 8


class GilState(NamedTuple):
    """The lock at one moment."""

    holder: int | None
    """Address of a thread state; None: it is free."""
    handoffs: int | None
    """Cumulative, since the process began or was forked."""
    last: int
    """Who holds it or held it last: as long as this and `handoffs` stay, nobody else executed any Python."""


class Gil:
    """The lock of one Python."""

    def __init__(self, python: Python) -> None:
        layout = python.layout
        self._memory = python.memory
        self._locked = layout["gil.locked"]
        self._holder = layout["gil.last_holder"]
        self._handoffs = layout.get("gil.switch_number")
        self.size = max(self._locked, self._holder, self._handoffs or 0) + _ULONG
        """Of what is read."""
        pointer = layout.get("is.gil_ptr")
        if pointer is None:
            self.address = python.runtime + layout["rt.gil"]
            """Of the lock."""
        else:
            self.address = python.memory.word(python.interpreter_state + pointer) or 0

    def read(self) -> GilState | None:
        """Return who holds it; None if it cannot be read. Raises Vanished."""
        data = self._memory.read(self.address, self.size)
        return self.parse(data) if data else None

    def parse(self, data: bytes) -> GilState:
        """Make it of `size` bytes at `address`."""
        is_held = integer(data, self._locked, _INT) == 1  # 0: free, -1: there are no threads yet
        last = integer(data, self._holder)
        handoffs = None if self._handoffs is None else integer(data, self._handoffs)
        return GilState(last if is_held and last else None, handoffs, last)
