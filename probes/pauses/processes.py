"""The processes of the target whose interpreter can be read, as they come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes import roots
from perfwatch.probes.cpython.python import open_python
from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.pauses.process import Process
from perfwatch.probes.readers.interpreter import find_interpreter
from perfwatch.probes.readers.thread_files import OpenFiles

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from perfwatch.probes.cpython.python import Python

MAX_PROCESSES: Final = 64
RETRY_NS: Final = 2_000_000_000
"""A process whose interpreter could not be read is left alone for so long: it may not have started yet."""


class Processes:
    """At most 64 of them; to be closed."""

    def __init__(self) -> None:
        self._open_files = OpenFiles()
        self._known: dict[int, Process] = {}
        self._left_alone: dict[int, int] = {}
        """Until when."""

    def __iter__(self) -> Iterator[Process]:
        return iter(tuple(self._known.values()))

    def renew(self, pids: Collection[int], now_ns: int) -> None:
        """Attach to those that are new; 1 ms each."""
        self._left_alone = {pid: until for pid, until in self._left_alone.items() if pid in pids and until > now_ns}
        for pid in sorted(pids):
            if pid in self._known or pid in self._left_alone or len(self._known) >= MAX_PROCESSES:
                continue
            try:
                python = attach(pid)
            except (Vanished, Unavailable):
                python = None
            if python is None:
                self._left_alone[pid] = now_ns + RETRY_NS
            else:
                self._known[pid] = Process(python, self._open_files, now_ns)

    def remove(self, process: Process) -> None:
        """Forget one, which is closed."""
        del self._known[process.pid]

    def close(self) -> None:
        """Let go of all."""
        while self._known:
            self._known.popitem()[1].close()


def attach(pid: int) -> Python | None:
    """Return the interpreter of a process, None if it runs none; raises Vanished or Unavailable."""
    found = find_interpreter(roots.PROC, pid)
    return open_python(pid, found) if found else None


def try_one(pids: Collection[int]) -> None:
    """Raise Unavailable where a process's interpreter may not be read, and that of no other can be."""
    refused: Unavailable | None = None
    for pid in sorted(pids)[:MAX_PROCESSES]:
        try:
            python = attach(pid)
        except Vanished:
            continue
        except Unavailable as error:
            refused = refused or error
            continue
        if python:
            python.close()
            return
    if refused:
        raise refused
