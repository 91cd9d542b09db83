"""Which asyncio.Lock a task waits for, and which it has taken: what a deadlock of tasks is made of.

By `async with` (entered.py), or `await lock.acquire()` (acquired.py).

Asked of a task that has rested for a second in `Lock.acquire`, once; told as long as it goes on resting there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.entered import Entered
from perfwatch.probes.cpython.named import Scope
from perfwatch.probes.cpython.objects import integer
from perfwatch.probes.cpython.passing import ANY, Passing

if TYPE_CHECKING:
    from perfwatch.probes.cpython.chain import Chain
    from perfwatch.probes.cpython.codes import Codes
    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python
    from perfwatch.probes.cpython.variables import Variables

RESTED_NS: Final = 1_000_000_000
MAX_FRAMES: Final = 64
MAX_HELD: Final = 16
_ACQUIRE, _FILE = frozenset({"Lock.acquire", "acquire"}), "asyncio/locks.py"
"""Up to 3.10 a function has no qualified name."""
_LOCK: Final = "Lock"
_DIGIT_BYTES: Final = 4


class Locked(NamedTuple):
    """What it waits for, and what it holds: addresses of locks."""

    waits_for: int = 0
    holds: tuple[int, ...] = ()
    since_ns: int = 0


FREE: Final = Locked()


class TaskLocks:
    """The locks of one Python's tasks; its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python, kinds: Kinds, variables: Variables, codes: Codes) -> None:
        self._memory = python.memory
        self._digits = python.layout["long.digits"]
        self._kinds = kinds
        self._variables = variables
        self._codes = codes
        self._entered = Entered(python, kinds)
        self._passing = Passing(python, kinds, frozenset({_LOCK}))

    def of(self, chain: Chain, since_ns: int, until_ns: int) -> Locked:
        """Return what a task holds while it waits for a lock, since then; nothing where it waits for none.

        After `until_ns` of time.thread_time_ns no further frame is looked at.
        """
        waits_for = self._awaited(chain) if self._entered.is_possible else 0
        if not waits_for:
            return FREE
        held, lost = list[int](), set[int]()
        others = len(chain.stack) - chain.own
        for depth, ((code, position), variables) in enumerate(zip(chain.stack, chain.variables, strict=True)):
            if len(held) >= MAX_HELD or time.thread_time_ns() > until_ns:
                break
            taken = self._passing.by(Scope(code, variables), self._codes.offset(code, position), lost, awaited=True)
            if depth >= others and ANY not in lost:
                locks = {*self._entered.by(code, position, variables), *taken} - lost
                held += [lock for lock in locks if self._is_lock(lock) and self._is_locked(lock)]
        # Its `__aexit__` lies there already while `__aenter__` is awaited.
        holds = tuple(lock for lock in dict.fromkeys(held) if lock != waits_for)
        return Locked(waits_for, holds, since_ns)

    def _awaited(self, chain: Chain) -> int:
        """Return the lock in whose `acquire` its innermost coroutine is suspended; 0: in none."""
        if not chain.awaits or not 0 < len(chain.stack) <= MAX_FRAMES:
            return 0
        (code, position), variables = chain.stack[0], chain.variables[0]
        frame = self._codes.frame(code, position)
        if frame is None or frame.function not in _ACQUIRE or not frame.file.endswith(_FILE):
            return 0
        found = self._variables.of(code, variables, "self")
        return found.value if found and self._is_lock(found.value) else 0

    def _is_locked(self, lock: int) -> bool:
        value = self._passing.named.attribute(lock, "_locked")
        digit = self._memory.read(value + self._digits, _DIGIT_BYTES) if value else None
        return digit is not None and integer(digit, 0, _DIGIT_BYTES) == 1

    def _is_lock(self, thing: int) -> bool:
        return self._kinds.name_of(thing) == _LOCK
