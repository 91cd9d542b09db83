"""The thread that holds the interpreter lock at this moment: if the collector runs, it runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.gil import Gil
from perfwatch.probes.cpython.threads import Threads

if TYPE_CHECKING:
    from perfwatch.probes.cpython.python import Python

UNKNOWN: Final = 0


class Holder:
    """Of one interpreter."""

    def __init__(self, python: Python) -> None:
        self._gil = Gil(python)
        self._threads = Threads(python)

    def tid(self) -> int:
        """Return its thread id, 0 where that is not known; 5 us a thread. Raises Vanished or Unavailable."""
        state = self._gil.read()
        holder = state.holder if state else None
        return next((each.tid or UNKNOWN for each in self._threads.read() if each.address == holder), UNKNOWN)
