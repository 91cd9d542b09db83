"""Threads that have stood still for a second, hold locks, and wait for one: what a deadlock is made of.

Asked of a thread once, as long as it stands where it stood. What is read of it holds if it has not run meanwhile (its
`schedstat` and `syscall` are the same). Cost: 20 us a thread that has come to rest, and 3 us a frame of it.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

from perfwatch.probes import roots
from perfwatch.probes.cpython.held import HeldLocks
from perfwatch.probes.cpython.threads import Threads
from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.frames import LockedThread
from perfwatch.probes.readers import proc
from perfwatch.probes.readers.calls import name_of
from perfwatch.probes.readers.thread_formats import parse_syscall

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.probes.cpython.frame_form import Stack
    from perfwatch.probes.cpython.python import Python
    from perfwatch.probes.cpython.watched import ThreadStack

STOOD_NS: Final = 1_000_000_000
MAX_ASKED: Final = 64
"""In a second."""


class Standing:
    """The threads of one Python."""

    def __init__(self, python: Python) -> None:
        self._pid = python.pid
        self._threads = Threads(python)
        self._held = HeldLocks(python)
        self._since: dict[int, tuple[Stack, int]] = {}
        self._known: dict[int, tuple[Stack, LockedThread | None]] = {}

    def see(self, threads: Iterable[ThreadStack], at_ns: int) -> None:
        """Take in a reading of all threads; one that rests has the same stack again, as an object."""
        if not self._held.is_possible:
            return
        before, self._since = self._since, {}
        for tid, stack in threads:
            if stack:
                stood, since_ns = before.get(tid, (None, at_ns))
                self._since[tid] = (stack, since_ns if stood is stack else at_ns)

    def locked(self, now_ns: int) -> tuple[LockedThread, ...]:
        """Return those that hold a lock and wait for one, since a second or longer; raises Vanished."""
        if not self._held.is_possible:
            return ()
        stood = {tid: each for tid, each in self._since.items() if each[1] <= now_ns - STOOD_NS}
        self._known = {tid: known for tid, known in self._known.items() if tid in stood and known[0] is stood[tid][0]}
        new = [tid for tid in stood if tid not in self._known][:MAX_ASKED]
        if new:
            states = {thread.tid: thread.address for thread in self._threads.read()}
            for tid in new:
                stack, since_ns = stood[tid]
                self._known[tid] = (stack, self._ask(tid, states.get(tid), since_ns))
        return tuple(each for _, each in self._known.values() if each is not None)

    def _ask(self, tid: int, state: int | None, since_ns: int) -> LockedThread | None:
        """Return what a thread holds and waits for; None where it does not do both, or has run meanwhile."""
        before = self._at_rest(tid)
        waits_for = _futex(before[1]) if before else None
        holds = self._held.of(state) if state and waits_for else ()
        if not holds or waits_for is None or self._at_rest(tid) != before:
            return None
        return LockedThread(tid, since_ns, waits_for, holds)

    def _at_rest(self, tid: int) -> tuple[bytes, bytes] | None:
        path = roots.PROC / str(self._pid) / "task" / str(tid)
        try:
            return proc.read(path / "schedstat"), proc.read(path / "syscall")
        except (Vanished, Unavailable):
            return None


def _futex(syscall: bytes) -> int | None:
    """Return the address at which a thread waits in futex(2)."""
    try:
        call = parse_syscall(syscall)
    except Malformed:
        return None
    if call is None or name_of(platform.machine(), call.number) != "futex":
        return None
    return call.arguments[0] if call.arguments else None
