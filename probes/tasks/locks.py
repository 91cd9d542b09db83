"""Which asyncio.Lock a task waits for, and which it has entered by `async with`: what a deadlock of tasks is made of.

Asked of a task that has rested for a second in `Lock.acquire`, once; told as long as it goes on resting there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.entered import Entered

if TYPE_CHECKING:
    from perfwatch.probes.cpython.chain import Chain
    from perfwatch.probes.cpython.codes import Codes
    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python
    from perfwatch.probes.cpython.variables import Variables

RESTED_NS: Final = 1_000_000_000
MAX_FRAMES: Final = 64
MAX_HELD: Final = 16
_ACQUIRE, _FILE = "Lock.acquire", "asyncio/locks.py"
_LOCK: Final = "Lock"


class Locked(NamedTuple):
    """What it waits for, and what it holds: addresses of locks."""

    waits_for: int = 0
    holds: tuple[int, ...] = ()
    since_ns: int = 0


FREE: Final = Locked()


class TaskLocks:
    """The locks of one Python's tasks; its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python, kinds: Kinds, variables: Variables, codes: Codes) -> None:
        self._kinds = kinds
        self._variables = variables
        self._codes = codes
        self._entered = Entered(python, kinds)

    def of(self, chain: Chain, since_ns: int) -> Locked:
        """Return what a task holds while it waits for a lock, since then; nothing where it waits for none."""
        waits_for = self._awaited(chain) if self._entered.is_possible else 0
        if not waits_for:
            return FREE
        held: list[int] = []
        for (code, position), variables in list(zip(chain.stack, chain.variables, strict=True))[-chain.own :]:
            if len(held) < MAX_HELD:
                guards = self._entered.by(code, position, variables)
                held += [guard for guard in guards if self._kinds.name_of(guard) == _LOCK]
        # Its `__aexit__` lies there already while `__aenter__` is awaited.
        holds = tuple(lock for lock in dict.fromkeys(held) if lock != waits_for)
        return Locked(waits_for, holds, since_ns)

    def _awaited(self, chain: Chain) -> int:
        """Return the lock in whose `acquire` its innermost coroutine is suspended; 0: in none."""
        if not chain.awaits or not 0 < len(chain.stack) <= MAX_FRAMES:
            return 0
        (code, position), variables = chain.stack[0], chain.variables[0]
        frame = self._codes.frame(code, position)
        if frame is None or frame.function != _ACQUIRE or not frame.file.endswith(_FILE):
            return 0
        found = self._variables.of(code, variables, "self")
        return found.value if found and self._kinds.name_of(found.value) == _LOCK else 0
