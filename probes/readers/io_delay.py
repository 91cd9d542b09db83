"""How long a process's threads waited for block I/O: field 42 of /proc/PID/task/TID/stat, in clock ticks.

Kept only where delay accounting is on (/proc/sys/kernel/task_delayacct, Linux 5.14; before, the kernel's command line
decided, and cannot be asked), and of threads that were started since. Cost: 15 us a thread, nothing where it is off.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import Final

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.readers.proc import read, translated

MAX_THREADS: Final = 1024
_TICK_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_DELAY: Final = 42 - 3  # counted from the field after the name
_STAT_BYTES: Final = 4096


def is_accounted() -> bool:
    """Whether the kernel keeps these times at present."""
    try:
        return read(roots.PROC / "sys" / "kernel" / "task_delayacct").strip() == b"1"
    except (Vanished, Unavailable):
        return False


def parse_delay(stat: bytes) -> int:
    """Return a thread's time in nanoseconds; raises Malformed."""
    fields = stat[stat.rfind(b")") + 1 :].split()
    try:
        return int(fields[_DELAY]) * _TICK_NS
    except (IndexError, ValueError):
        raise Malformed(f"unknown form of /proc/PID/task/TID/stat: {stat[:200]!r}") from None


class IoDelay:
    """Sums up one process's threads, and keeps what those that ended had."""

    def __init__(self, pid: int) -> None:
        self._tasks = roots.PROC / str(pid) / "task"
        self._threads: dict[str, int] = {}
        self._total_ns = 0

    def read(self) -> int:
        """Return the time of all threads that were seen; raises Vanished or Unavailable."""
        now: dict[str, int] = {}
        for tid in self._list():
            try:
                now[tid] = parse_delay(read(self._tasks / tid / "stat", _STAT_BYTES))
            except Vanished:
                continue
            before = self._threads.get(tid, 0)
            self._total_ns += now[tid] - before if now[tid] >= before else now[tid]  # less: another thread by now
        self._threads = now
        return self._total_ns

    def _list(self) -> list[str]:
        try:
            with os.scandir(self._tasks) as entries:
                return [entry.name for entry in islice(entries, MAX_THREADS)]
        except OSError as error:
            raise translated(error, self._tasks) from None
