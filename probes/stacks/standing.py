"""Threads that have stood still for a second, hold locks, and wait for one: what a deadlock is made of.

Asked of a thread once, as long as it stands where it stood. What was read of it holds while it has not run since (its
`schedstat` and `syscall` are the same). Who waits for a time only is in no deadlock. Who has an RLock that is waited
for, it says itself, however it was taken: it is asked each time. Cost: 20 us a thread that has come to rest, and as
held.py says; 20 us a second for each that holds and waits, 2 us for each that waits for an RLock.
"""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import msgspec

from perfwatch.probes import roots
from perfwatch.probes.cpython.held import HeldLocks
from perfwatch.probes.cpython.threads import Threads
from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.frames import LockedThread
from perfwatch.probes.readers import proc
from perfwatch.probes.readers.calls import name_of
from perfwatch.probes.readers.thread_formats import parse_syscall

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from perfwatch.probes.cpython.frame_form import Stack
    from perfwatch.probes.cpython.python import Python
    from perfwatch.probes.cpython.watched import ThreadStack

STOOD_NS: Final = 1_000_000_000
MAX_ASKED: Final = 64
"""In a second."""
BUDGET_NS: Final = 100_000_000
"""Of CPU time in a second, too: the others are asked in the next."""
_TIMEOUT: Final = 3
"""Which argument of futex(2)."""


class _Waiting(NamedTuple):
    """A thread that stands still and waits for a lock."""

    thread: LockedThread
    """With what its frames tell of what it holds."""
    rest: tuple[bytes, bytes]
    """What shows that it has not run."""
    identity: int
    """As owner of RLocks."""
    awaits: int
    """Address of the RLock that it waits for; 0: of none that is known."""


_Known: TypeAlias = "tuple[Stack, _Waiting | None]"
"""Of a thread with this stack; None: it waits for no lock."""


class Standing:
    """The threads of one Python."""

    def __init__(self, python: Python) -> None:
        self._pid = python.pid
        self._threads = Threads(python)
        self._held = HeldLocks(python)
        self._since: dict[int, tuple[Stack, int]] = {}
        self._known: dict[int, _Known] = {}

    def see(self, threads: Iterable[ThreadStack], at_ns: int) -> None:
        """Take in a reading of all threads; one that rests has the same stack again, mostly as an object."""
        if not self._held.is_possible:
            return
        before, self._since = self._since, {}
        for tid, stack in threads:
            stood, since_ns = before.get(tid, ((), at_ns))
            if stack is not None and stack is not stood and stack != stood:  # None: it could not be read this time
                stood, since_ns = stack, at_ns
            if stood:
                self._since[tid] = (stood, since_ns)

    def locked(self, now_ns: int) -> tuple[LockedThread, ...]:
        """Return those that hold a lock and wait for one, since a second or longer; raises Vanished."""
        if not self._held.is_possible:
            return ()
        stood = {tid: each for tid, each in self._since.items() if each[1] <= now_ns - STOOD_NS}
        self._known = {tid: known for tid, known in self._known.items() if tid in stood and known[0] is stood[tid][0]}
        new = [tid for tid in stood if tid not in self._known][:MAX_ASKED]
        if new:
            until_ns = time.thread_time_ns() + BUDGET_NS
            # A thread that has not begun may have its creator's id still: of two the older is meant, which comes last.
            states = {thread.tid: thread.address for thread in self._threads.read()}
            for tid in new:
                if time.thread_time_ns() > until_ns:
                    break
                stack, since_ns = stood[tid]
                rest, state = self._at_rest(tid), states.get(tid)
                if rest and state:
                    self._known[tid] = (stack, self._ask(tid, state, since_ns, rest))
        return tuple(self._told([each for _, each in self._known.values() if each is not None]))

    def _told(self, waiting: list[_Waiting]) -> Iterator[LockedThread]:
        """Yield those that hold a lock, of RLocks those that others wait for; who has run is to be asked again."""
        owned: dict[int, list[int]] = {}
        for each in waiting:
            owner = self._held.owner(each.awaits) if each.awaits else 0
            if owner:
                owned.setdefault(owner, []).append(each.thread.waits_for)
        for each in waiting:
            holds = tuple(dict.fromkeys((*each.thread.holds, *owned.get(each.identity, ()))))
            if holds and self._at_rest(each.thread.tid) == each.rest:
                yield msgspec.structs.replace(each.thread, holds=holds)
            elif holds:
                del self._known[each.thread.tid]

    def _ask(self, tid: int, state: int, since_ns: int, rest: tuple[bytes, bytes]) -> _Waiting | None:
        """Return what a thread holds and waits for; None where it waits for no lock. It may have run since."""
        waits_for = _futex(rest[1])
        if not waits_for:
            return None
        held = self._held.of(state, waits_for)
        return _Waiting(LockedThread(tid, since_ns, waits_for, held.locks), rest, held.identity, held.awaits)

    def _at_rest(self, tid: int) -> tuple[bytes, bytes] | None:
        path = roots.PROC / str(self._pid) / "task" / str(tid)
        try:
            return proc.read(path / "schedstat"), proc.read(path / "syscall")
        except (Vanished, Unavailable):
            return None


def _futex(syscall: bytes) -> int | None:
    """Return the address at which a thread waits in futex(2) for as long as it takes."""
    try:
        call = parse_syscall(syscall)
    except Malformed:
        return None
    if call is None or name_of(platform.machine(), call.number) != "futex":
        return None
    is_endless = len(call.arguments) > _TIMEOUT and not call.arguments[_TIMEOUT]
    return call.arguments[0] if is_endless else None
