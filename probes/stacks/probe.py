"""What all threads of the target's Pythons execute, 50 times a second, without stopping them.

Needs ptrace(2) rights to read their memory: the same user, and where Yama's ptrace_scope is 1 CAP_SYS_PTRACE; nothing
is traced. An interpreter that there is no table of is read by py-spy, twice a second; so are the names of threads,
seldom. What cannot be read at all is told once, with the reason. Cost of a reading: see walk.py.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import msgspec

from perfwatch.probes import roots
from perfwatch.probes.cpython.permission import availability_of
from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.frames import PythonSample
from perfwatch.probes.readers.interpreter import find_interpreter
from perfwatch.probes.stacks.source import StackSource, open_source
from perfwatch.probes.stacks.spying import Spying

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import TracebackType

    from perfwatch.probes.probe import Availability
    from perfwatch.probes.records import Record

MAX_PROCESSES: Final = 64
TELL_NS: Final = 100_000_000
"""How often stacks are told; those in between are kept."""
DESCRIBE_NS: Final = 1_000_000_000
FIRST_TRY_NS: Final = 50_000_000
LAST_TRY_NS: Final = 16_000_000_000
"""After so long a process that has no Python, or none that can be read, is tried again: at first, and at last."""
MAX_DOUBLINGS: Final = 10
SPIED_AT_TRY: Final = 4
"""So often it is tried before py-spy takes it: it may not have started yet."""
BUDGET_NS: Final = 50_000_000
"""A reading takes not much longer than this; processes that were not reached come first in the next."""
LOST: Final = "what the code does, and who holds the interpreter lock"


class _Process:
    """One process of the tree."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.source: StackSource | None = None
        self.try_ns = 0
        self.tries = 0
        self.is_refused = False
        """Its interpreter is not one that can be read."""

    def open(self, now_ns: int) -> None:
        """Try to read it; raises Vanished or Unavailable."""
        self.try_ns = now_ns + min(FIRST_TRY_NS << min(self.tries, MAX_DOUBLINGS), LAST_TRY_NS)
        self.tries += 1
        self.is_refused = False
        interpreter = find_interpreter(roots.PROC, self.pid)
        if interpreter is not None:
            self.source = open_source(self.pid, interpreter)
            self.tries = 0

    def close(self, now_ns: int) -> Sequence[Record]:
        """Stop reading it; returns what was not told yet."""
        if self.source is None:
            return ()
        try:
            return self.source.take(now_ns)
        finally:
            self.source.close()
            self.source = None
            self.try_ns = now_ns


class StacksProbe:
    """Samples the stacks of at most 64 processes of the target."""

    name = "stacks"
    period_s = 0.02

    def __init__(self, tree: Callable[[], Collection[int]]) -> None:
        """`tree` gives the PIDs that belong to the target at this moment."""
        self._tree = tree
        self._processes: dict[int, _Process] = {}
        self._spying = Spying(self.name)
        self._threads: dict[int, Collection[int]] = {}  # of the processes that run a Python, as they were listed last
        self._tell_ns = self._describe_ns = 0

    @property
    def children_ns(self) -> int:
        """CPU time of the programs that it ran."""
        return self._spying.cpu_ns

    def availability(self) -> Availability:
        """Say whether the target's memory may be read."""
        return availability_of(self._tree(), LOST)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spying.close()
        while self._processes:
            self._processes.popitem()[1].close(0)

    def read(self, now_ns: int) -> Sequence[Record]:
        """Sample all threads; return what was sampled before, ten times a second."""
        records = self._follow(now_ns)
        tell, describe = now_ns >= self._tell_ns, now_ns >= self._describe_ns
        self._tell_ns = now_ns + TELL_NS if tell else self._tell_ns
        self._describe_ns = now_ns + DESCRIBE_NS if describe else self._describe_ns
        until_ns = time.perf_counter_ns() + BUDGET_NS
        for process in list(self._processes.values()):
            try:
                if process.source is not None:
                    records += process.source.take(now_ns) if tell else ()
                    records += self._described(process.source, now_ns) if describe else ()
                if time.perf_counter_ns() < until_ns:
                    self._sample(process, now_ns, until_ns)
            except Vanished:
                records += process.close(now_ns)
            except Unavailable:
                records += process.close(now_ns)
                process.is_refused = process.tries >= SPIED_AT_TRY
        if describe:
            self._threads = {
                process.pid: _threads(process.pid)
                for process in self._processes.values()
                if process.source or process.is_refused
            }
        if tell:
            records += self._spying.read(now_ns, self._threads, [pid for pid in self._threads if self._is_refused(pid)])
        return records

    def _described(self, source: StackSource, now_ns: int) -> list[Record]:
        """Say of an interpreter what it tells itself, and the names of its threads."""
        return [
            msgspec.structs.replace(record, threads=self._spying.thread_names(record.pid))
            if isinstance(record, PythonSample)
            else record
            for record in source.describe(now_ns)
        ]

    def _is_refused(self, pid: int) -> bool:
        process = self._processes.get(pid)
        return process is not None and process.is_refused

    def _sample(self, process: _Process, now_ns: int, until_ns: int) -> None:
        # Those that are not reached within the budget come first next time.
        self._processes[process.pid] = self._processes.pop(process.pid)
        if process.source is None and now_ns >= process.try_ns:
            process.open(now_ns)
        if process.source is not None:
            process.source.sample(until_ns)

    def _follow(self, now_ns: int) -> list[Record]:
        """Take in which processes there are."""
        pids = sorted(self._tree())[:MAX_PROCESSES]
        records: list[Record] = []
        for pid in self._processes.keys() - pids:
            records += self._processes.pop(pid).close(now_ns)
        for pid in pids:
            if pid not in self._processes:
                self._processes[pid] = _Process(pid)
        return records


def _threads(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(name) for name in os.listdir(roots.PROC / str(pid) / "task")]  # noqa: PTH208 - names alone
    return []
