"""A process and all that it forked, followed without BPF: who was forked, executed another program, or exited.

    /proc/4312/task/4312/children: 4313 4314 4315

Children are listed by the thread that forked them (needs CONFIG_PROC_CHILDREN; without it psutil walks over all
processes, every second). A process that was forked and has ended between two looks is not seen; one whose parent ended
before it was seen neither. Readable by all. Cost: 3 us a process and 0.5 us for each of its threads.
"""

from __future__ import annotations

from typing import Final, Literal

import psutil

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.readers.thread_files import OpenFiles, TaskList, ThreadFiles
from perfwatch.probes.readers.thread_formats import (
    ProcessStat,
    parse_children,
    parse_process_stat,
)
from perfwatch.probes.records import TargetChange

MAX_PROCESSES: Final = 256
"""Of the tree so many are followed."""
MAX_FORKERS: Final = 64
"""So many threads of a process are asked for children; a program forks from few."""
_WALK_NS: Final = 1_000_000_000
_DEAD: Final = "ZXx"


class _Process:
    """One process of the tree: its files, and what was last known of it."""

    def __init__(self, pid: int, open_files: OpenFiles) -> None:
        self.pid = pid
        self._open_files = open_files
        self._own = ThreadFiles(roots.PROC / str(pid), open_files)
        self._tasks = TaskList(pid, open_files)
        self._threads: dict[int, ThreadFiles] = {}
        try:
            self.stat = self.look()
        except (Vanished, Unavailable, Malformed):
            self.close()
            raise

    def look(self) -> ProcessStat:
        """Read its stat; raises Vanished also for one that has ended and waits for its parent (a zombie)."""
        stat = parse_process_stat(self._own.read("stat"))
        if stat.state in _DEAD:
            raise Vanished(f"process {self.pid} has ended")
        return stat

    def children(self) -> list[int] | None:
        """Return its children; None where the kernel does not list them. Raises Vanished."""
        if self._tasks.changed():
            self._renew(self._tasks.list()[:MAX_FORKERS])
        found: list[int] = []
        for tid, thread in list(self._threads.items()):
            try:
                found += parse_children(thread.read("children"))
            except Vanished:
                if not (thread.path / "stat").exists():
                    self._threads.pop(tid).close()
                    continue
                return None
        return found

    def _renew(self, tids: list[int]) -> None:
        for tid in self._threads.keys() - tids:
            self._threads.pop(tid).close()
        for tid in tids:
            if tid not in self._threads:
                self._threads[tid] = ThreadFiles(roots.PROC / str(self.pid) / "task" / str(tid), self._open_files)

    def close(self) -> None:
        self._own.close()
        self._tasks.close()
        for thread in self._threads.values():
            thread.close()


class ProcessTree:
    """Follows one tree from its root on; `update` is called as often as one wants to know."""

    def __init__(self, root: int, open_files: OpenFiles | None = None) -> None:
        self._root = root
        self._open_files = open_files or OpenFiles()
        self._processes: dict[int, _Process] = {}
        self._next_walk_ns = 0

    def open(self) -> None:
        """Take up the root and what it has forked; raises Vanished or Unavailable."""
        try:
            self._processes[self._root] = _Process(self._root, self._open_files)
        except Malformed as error:
            raise Unavailable(str(error), "attach to one of its children") from None
        self.update(0)

    def close(self) -> None:
        """Close all files."""
        while self._processes:
            self._processes.popitem()[1].close()

    @property
    def pids(self) -> frozenset[int]:
        """The processes that lived at the last look."""
        return frozenset(self._processes)

    def update(self, now_ns: int) -> list[TargetChange]:
        """Look again; returns what has changed, parents before their children."""
        changes: list[TargetChange] = []
        lived = bool(self._processes)
        for process in list(self._processes.values()):
            self._look(process, now_ns, changes)
        self._find_children(now_ns, changes)
        if lived and not self._processes:
            changes.append(_change(now_ns, self._root, "gone", f"process {self._root} and all its children have ended"))
        return changes

    def _look(self, process: _Process, now_ns: int, to: list[TargetChange]) -> None:
        try:
            stat = process.look()
        except (Vanished, Unavailable, Malformed):
            self._processes.pop(process.pid).close()
            to.append(_change(now_ns, process.pid, "exited", ""))
            return
        if _executed(process.stat, stat):
            to.append(_change(now_ns, process.pid, "executed", stat.name))
        process.stat = stat

    def _find_children(self, now_ns: int, to: list[TargetChange]) -> None:
        parents = list(self._processes.values())
        while parents:
            parent = parents.pop()
            for pid in self._children(parent, now_ns):
                if pid not in self._processes and len(self._processes) < MAX_PROCESSES and (child := self._take(pid)):
                    parents.append(child)
                    to.append(_change(now_ns, pid, "forked", f"by {parent.pid}"))

    def _take(self, pid: int) -> _Process | None:
        try:
            self._processes[pid] = _Process(pid, self._open_files)
        except (Vanished, Unavailable, Malformed):
            return None
        return self._processes[pid]

    def _children(self, parent: _Process, now_ns: int) -> list[int]:
        try:
            children = parent.children()
        except (Vanished, Unavailable):
            return []
        if children is not None:
            return children
        if now_ns < self._next_walk_ns:
            return []
        self._next_walk_ns = now_ns + _WALK_NS
        return _walk(parent.pid)


def _executed(before: ProcessStat, after: ProcessStat) -> bool:
    """Whether another program runs there: it has another stack; where that may not be known, another name."""
    if before.stack_start and after.stack_start:
        return before.stack_start != after.stack_start
    return before.name != after.name


def _walk(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def _change(at_ns: int, pid: int, change: Literal["forked", "executed", "exited", "gone"], detail: str) -> TargetChange:
    return TargetChange(at_ns, pid, change, detail)
