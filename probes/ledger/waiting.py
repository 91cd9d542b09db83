"""Threads that wait for events at this moment: one of them that reads requests is an event loop from its first on.

By /proc/PID/task/TID/syscall: `232 0x5 0x7f3a... 0x40 0x3e8 0x0 0x0 0x7ffd... 0x7f3b...`, the number first.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from perfwatch.probes import roots
from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.readers.calls import CLASSES, classes
from perfwatch.probes.readers.proc import read

MAX_THREADS: Final = 256
_MAX_BYTES: Final = 256
_EPOLL: Final = CLASSES.index("epoll")


def waiting_for_events(pid: int, machine: str) -> list[int]:
    """Return the threads of a process that are in epoll_wait, of its first 256. Cost: 2 us a thread."""
    kinds = classes(machine)
    return [tid for tid in _threads(pid) if kinds.get(_call(pid, tid)) == _EPOLL]


def _threads(pid: int) -> list[int]:
    try:
        names = (entry.name for entry in (roots.PROC / str(pid) / "task").iterdir())
        return [int(name) for name in islice(names, MAX_THREADS) if name.isdigit()]
    except OSError:  # it has just ended
        return []


def _call(pid: int, tid: int) -> int:
    """Return the number of the system call that a thread is blocked in; -1: none, or that cannot be told."""
    try:
        number = read(roots.PROC / str(pid) / "task" / str(tid) / "syscall", _MAX_BYTES).split(b" ", 1)[0]
    except (Vanished, Unavailable):
        return -1
    return int(number) if number.isdigit() else -1
