"""Which locks a thread holds that it took by `with`: told by where they sleep who wait for them.

A `threading.Lock` is a semaphore of the C library, and who waits for it waits in futex(2) at that semaphore's address;
an RLock is made of the same. Their structs stand in no header that is installed: in CPython 3.8 to 3.13 that address is
what lies behind an object's head (Modules/_threadmodule.c: `lock_lock`, `rlock_lock`). Cost: 3 us a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.entered import Entered
from perfwatch.probes.cpython.kinds import Kinds
from perfwatch.probes.cpython.objects import integer

if TYPE_CHECKING:
    from perfwatch.probes.cpython.python import Python

MAX_FRAMES: Final = 128
MAX_HELD: Final = 16
_LOCKS: Final = frozenset({"_thread.lock", "_thread.RLock"})
_SEMAPHORE: Final = 16
_LAST: Final = (3, 13)


class HeldLocks:
    """Finds them; its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python) -> None:
        self._memory = python.memory
        self._kinds = Kinds(python)
        self._entered = Entered(python, self._kinds)
        self._layout = layout = python.layout
        self.is_possible = self._entered.is_possible and layout.minor <= _LAST
        """Whether that is known of this version."""
        self._no_function = layout.get("FRAME_OWNED_BY_CSTACK")

    def of(self, thread: int) -> tuple[int, ...]:
        """Return the addresses at which others would wait for the locks of a thread, by its state's address."""
        frame, found = self._innermost(thread), list[int]()
        for _ in range(MAX_FRAMES):
            data = self._memory.read(frame, self._layout["f.localsplus"]) if frame else None
            if not frame or data is None or len(found) >= MAX_HELD:
                break
            if self._no_function is None or data[self._layout["f.owner"]] < self._no_function:
                found += self._held_by(data, frame + len(data))
            frame = integer(data, self._layout["f.back"])
        return tuple(found)

    def _innermost(self, thread: int) -> int | None:
        layout = self._layout
        if layout.get("ts.cframe") is None:
            return self._memory.word(thread + layout["ts.current_frame"])
        cframe = self._memory.word(thread + layout["ts.cframe"])
        return self._memory.word(cframe + layout["cframe.current_frame"]) if cframe else None

    def _held_by(self, frame: bytes, variables: int) -> list[int]:
        code, position = integer(frame, self._layout["f.code"]), integer(frame, self._layout["f.prev_instr"])
        guards = self._entered.by(code, position, variables)
        locks = [guard for guard in guards if self._kinds.name_of(guard) in _LOCKS]
        return [at for lock in locks if (at := self._memory.word(lock + _SEMAPHORE))]
