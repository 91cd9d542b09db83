"""How often the threads of a process are switched in, by their schedstat; 0.4 us a thread to list, 5 us to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.readers.proc import read
from perfwatch.probes.readers.thread_files import TaskList
from perfwatch.probes.readers.thread_formats import parse_schedstat

if TYPE_CHECKING:
    from perfwatch.probes.readers.thread_files import OpenFiles


class Switches:
    """Of one process; to be closed."""

    def __init__(self, pid: int, open_files: OpenFiles) -> None:
        self._tasks = TaskList(pid, open_files)
        self._path = roots.PROC / str(pid) / "task"
        self._counts: dict[int, int] | None = None

    def since_last(self) -> int:
        """Return how many there were since the last call, 0 at the first; raises Vanished or Unavailable."""
        before = self._counts
        self._counts = dict(filter(None, map(self._count, self._tasks.list())))
        if before is None:
            return 0
        return sum(count - before.get(tid, 0) for tid, count in self._counts.items())

    def close(self) -> None:
        """Let go of the process."""
        self._tasks.close()

    def _count(self, tid: int) -> tuple[int, int] | None:
        try:
            return tid, parse_schedstat(read(self._path / str(tid) / "schedstat")).switched_in
        except (Vanished, Unavailable, Malformed):
            return None
