"""Which locks a thread holds, as far as its frames tell, told by where they sleep who wait for them.

A `threading.Lock` is a semaphore of the C library, and who waits for it waits in futex(2) at that semaphore's address;
an RLock is made of the same. Their structs stand in no header that is installed: in CPython 3.8 to 3.13 that address is
what lies behind an object's head (Modules/_threadmodule.c: `lock_lock`, `rlock_lock`).

An RLock names its owner, a Lock does not: that it is held by a thread is told by `with` (entered.py) and by the
instructions that were passed (acquired.py), if it is locked and no function further in may have given it back. Cost:
15 us a frame, and 100 us more for each function that is new.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.codes import Codes
from perfwatch.probes.cpython.entered import Entered
from perfwatch.probes.cpython.kinds import Kinds
from perfwatch.probes.cpython.named import Scope
from perfwatch.probes.cpython.objects import POINTER, integer
from perfwatch.probes.cpython.passing import ANY, BUDGET_NS, Passing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.probes.cpython.python import Python

MAX_FRAMES: Final = 128
MAX_HELD: Final = 16
_LOCK, _RLOCK = "_thread.lock", "_thread.RLock"
_LOCKS: Final = frozenset({_LOCK, _RLOCK})
_SEMAPHORE: Final = 16
_LOCKED: Final = 32
"""Of a Lock: 1 while it is."""
_OWNER, _COUNT, _RLOCK_BYTES = 24, 32, 40
"""Of an RLock: pthread_t of who has it, and how often."""
_LAST: Final = (3, 13)
_INT: Final = 4


class Held(NamedTuple):
    """What a thread holds and waits for."""

    locks: tuple[int, ...]
    """Addresses at which others would wait for them."""
    awaits: int
    """Address of the RLock that it waits for; 0: of another lock, or it could not be told."""
    identity: int
    """Its pthread_t, as `owner` returns it."""


class _Frame(NamedTuple):
    scope: Scope
    position: int
    offset: int
    """The same in bytes, from the start of the code."""


class HeldLocks:
    """Finds them; its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python) -> None:
        self._memory = python.memory
        self._kinds = Kinds(python)
        self._entered = Entered(python, self._kinds)
        self._passing = Passing(python, self._kinds, _LOCKS)
        self._codes = Codes(python)
        self._layout = layout = python.layout
        self.is_possible = self._entered.is_possible and layout.minor <= _LAST
        """Whether that is known of this version."""
        self._no_function = layout.get("FRAME_OWNED_BY_CSTACK")

    def of(self, thread: int, waits_for: int) -> Held:
        """Return what a thread that waits in futex(2) at an address holds, by its state's address."""
        found, lost = dict[int, None](), set[int]()
        identity, awaits = self._memory.word(thread + self._layout["ts.thread_id"]) or 0, 0
        for depth, (scope, position, offset) in enumerate(self._frames(thread)):
            if not depth:
                awaits = self._awaited(scope, offset, waits_for)
            taken = self._passing.by(scope, offset, lost)
            for lock in (*self._entered.by(scope.code, position, scope.variables), *taken):
                semaphore = self._semaphore(lock, identity, is_lost=lock in lost or ANY in lost)
                if semaphore:
                    found[semaphore] = None
        return Held(tuple(found)[:MAX_HELD], awaits, identity)

    def owner(self, lock: int) -> int:
        """Return the pthread_t of the owner of an RLock; 0: nobody has it."""
        data = self._memory.read(lock, _RLOCK_BYTES)
        return integer(data, _OWNER) if data and integer(data, _COUNT) else 0

    def _frames(self, thread: int) -> Iterator[_Frame]:
        """Yield a thread's frames, the innermost first."""
        layout, until_ns = self._layout, time.thread_time_ns() + BUDGET_NS
        by_address = layout.get("f.prev_instr")
        at, size = (layout["f.lasti"], _INT) if by_address is None else (by_address, POINTER)
        frame = self._innermost(thread)
        for _ in range(MAX_FRAMES):
            data = self._memory.read(frame, layout["f.localsplus"]) if frame else None
            if not frame or data is None or time.thread_time_ns() > until_ns:
                break
            if self._no_function is None or data[layout["f.owner"]] < self._no_function:
                code, position = integer(data, layout["f.code"]), integer(data, at, size)
                yield _Frame(Scope(code, frame + len(data)), position, self._codes.offset(code, position))
            frame = integer(data, layout["f.back"])

    def _innermost(self, thread: int) -> int | None:
        layout = self._layout
        if layout.get("ts.frame") is not None:
            return self._memory.word(thread + layout["ts.frame"])
        if layout.get("ts.cframe") is None:
            return self._memory.word(thread + layout["ts.current_frame"])
        cframe = self._memory.word(thread + layout["ts.cframe"])
        return self._memory.word(cframe + layout["cframe.current_frame"]) if cframe else None

    def _awaited(self, scope: Scope, offset: int, semaphore: int) -> int:
        """Return the RLock for whose semaphore a frame waits; 0 if it is none, or cannot be told."""
        lock = self._passing.called(scope, offset)
        is_that = lock and self._kinds.name_of(lock) == _RLOCK and self._memory.word(lock + _SEMAPHORE) == semaphore
        return lock if lock and is_that else 0

    def _semaphore(self, lock: int, thread: int, *, is_lost: bool) -> int | None:
        """Return the address at which others wait for a lock, if a thread still has it."""
        kind = self._kinds.name_of(lock)
        if kind == _RLOCK:
            has = self.owner(lock) == thread != 0
        else:
            has = kind == _LOCK and not is_lost and self._memory.read(lock + _LOCKED, 1) == b"\1"
        return self._memory.word(lock + _SEMAPHORE) if has else None
