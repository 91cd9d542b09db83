"""The asyncio tasks of the target's Pythons, 20 times a second, without stopping them: what each awaits, for whom.

A suspended coroutine is on no thread's stack; it is found from the other side, by the list that asyncio keeps of its
tasks. Needs ptrace(2) rights to read their memory: the same user, and where Yama's ptrace_scope is 1 CAP_SYS_PTRACE;
nothing is traced. CPython 3.8 to 3.13, asyncio's tasks in C (uvloop's are the same). Of an interpreter that is not
known nothing is told: the stacks probe says why. A child that was forked out of a running loop has its parent's tasks
in its memory too, where they rest for ever: they are told under its own PID, which serves none of those requests.

Cost of a reading: 0.1 ms, 15 us a task that rests, 0.3 ms one that does not, in all 3 ms at most for those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from perfwatch.probes import roots
from perfwatch.probes.cpython.permission import availability_of
from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.readers.interpreter import find_interpreter
from perfwatch.probes.tasks.source import TaskSource

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import TracebackType

    from perfwatch.probes.frames import TasksSample
    from perfwatch.probes.probe import Availability
    from perfwatch.probes.records import Record

MAX_PROCESSES: Final = 64
FIRST_TRY_NS: Final = 100_000_000
LAST_TRY_NS: Final = 16_000_000_000
"""After so long a process that has no Python, or none that can be read, is tried again: at first, and at last."""
MAX_DOUBLINGS: Final = 10
BUDGET_NS: Final = 3_000_000
"""In a reading tasks are followed for so much CPU time; those that were not reached come first in the next."""
LEAST_NS: Final = 200_000
"""Of that a process has its share, and at least this."""
LOST: Final = "what the coroutines of an event loop wait for"


class _Process:
    """One process of the tree."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._source: TaskSource | None = None
        self._try_ns = self._tries = 0

    @property
    def is_open(self) -> bool:
        """Whether it is being read."""
        return self._source is not None

    def read(self, now_ns: int, budget_ns: int) -> TasksSample | None:
        """Return its tasks; None where there are none, or they cannot be read."""
        try:
            if self._source is None and now_ns >= self._try_ns:
                self._open(now_ns)
            return self._source.read(now_ns, budget_ns) if self._source else None
        except (Vanished, Unavailable):
            self.close()
            return None

    def _open(self, now_ns: int) -> None:
        self._try_ns = now_ns + min(FIRST_TRY_NS << min(self._tries, MAX_DOUBLINGS), LAST_TRY_NS)
        self._tries += 1
        interpreter = find_interpreter(roots.PROC, self.pid)
        if interpreter is not None:
            self._source = TaskSource(self.pid, interpreter)
            self._tries = 0

    def close(self) -> None:
        """Stop reading it."""
        if self._source is not None:
            self._source.close()
            self._source = None


class TasksProbe:
    """Reads the tasks of at most 64 processes of the target."""

    name = "tasks"
    period_s = 0.05

    def __init__(self, tree: Callable[[], Collection[int]]) -> None:
        """`tree` gives the PIDs that belong to the target at this moment."""
        self._tree = tree
        self._processes: dict[int, _Process] = {}

    def availability(self) -> Availability:
        """Say whether the target's memory may be read."""
        return availability_of(self._tree(), LOST)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._processes:
            self._processes.popitem()[1].close()

    def read(self, now_ns: int) -> Sequence[Record]:
        """Return the tasks of each process that has some."""
        pids = sorted(self._tree())[:MAX_PROCESSES]
        for pid in self._processes.keys() - pids:
            self._processes.pop(pid).close()
        for pid in pids:
            if pid not in self._processes:
                self._processes[pid] = _Process(pid)
        running = sum(process.is_open for process in self._processes.values())
        budget_ns = max(BUDGET_NS // max(running, 1), LEAST_NS)
        return [each for process in self._processes.values() if (each := process.read(now_ns, budget_ns))]
