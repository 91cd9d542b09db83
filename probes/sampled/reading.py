"""Reads the threads of the tree, one round after another, and keeps a timeline of each.

Cost of a round: 1.5 us for a thread that slept on, 15 us for one that ran; nothing is opened that was read before.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.readers.thread_files import OpenFiles, TaskList, ThreadFiles
from perfwatch.probes.readers.thread_formats import (
    parse_schedstat,
)
from perfwatch.probes.sampled.pools import Pool
from perfwatch.probes.sampled.rests import Rests
from perfwatch.probes.sampled.states import NOT_THERE
from perfwatch.probes.sampled.timeline import MAX_INTERVALS, Timeline

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from perfwatch.probes.readers.thread_formats import (
        SchedStat,
    )
    from perfwatch.probes.sampled.classify import Classifier

MAX_PROCESSES: Final = 64
MAX_THREADS: Final = 1024
"""In all."""
MAX_ENDED: Final = 1024
"""Threads that have ended are remembered for the requests that they served: so many of a process, so long."""
MAX_ROUNDS: Final = 1024
REMEMBERED_NS: Final = 30_000_000_000


class Thread:
    """A thread, its files, and its timeline."""

    __slots__ = ("counted", "files", "pid", "raw", "rests", "tid", "timeline")

    def __init__(self, pid: int, tid: int, files: ThreadFiles, rests: Rests) -> None:
        self.pid = pid
        self.tid = tid
        self.files = files
        self.raw = b""
        self.counted: SchedStat | None = None
        self.timeline: Timeline
        self.rests = rests


class Process:
    """A process of the tree and its threads, those that live and those that have ended lately."""

    def __init__(self, pid: int, open_files: OpenFiles) -> None:
        self.pid = pid
        self._open_files = open_files
        self._tasks = TaskList(pid, open_files)
        self._pool = Pool()
        self.threads: dict[int, Thread] = {}
        self.ended: deque[Thread] = deque(maxlen=MAX_ENDED)
        self.read_ns = 0
        """When its last round began; 0 before the first."""

    def read(self, classifier: Classifier, room: int, keep: int) -> None:
        """Read all its threads, at most `room` of them; raises Vanished or Unavailable."""
        before_ns, self.read_ns = self.read_ns, time.monotonic_ns()
        while self.ended and (self.ended[0].timeline.ended_ns or 0) < self.read_ns - REMEMBERED_NS:
            self.ended.popleft()
        lost = [thread for thread in self.threads.values() if not _read(thread, classifier, before_ns)]
        for thread in lost:
            self._end(thread, before_ns)
        if lost or not before_ns or self._tasks.changed():
            self._renew(classifier, room, keep, before_ns)

    def _renew(self, classifier: Classifier, room: int, keep: int, before_ns: int) -> None:
        tids = self._tasks.list()
        for tid in self.threads.keys() - tids:
            self._end(self.threads[tid], before_ns)
        for tid in tids[:room]:
            if tid not in self.threads:
                files = ThreadFiles(roots.PROC / str(self.pid) / "task" / str(tid), self._open_files)
                thread = Thread(self.pid, tid, files, Rests(self._pool))
                if _begin(thread, classifier, before_ns):
                    self.threads[tid] = thread
                    thread.timeline.keep(keep)

    def _end(self, thread: Thread, before_ns: int) -> None:
        del self.threads[thread.tid]
        thread.files.close()
        thread.timeline.end(before_ns, time.monotonic_ns())
        self.ended.append(thread)

    def all_threads(self) -> Iterator[Thread]:
        """Yield those that live and those that ended lately."""
        yield from self.threads.values()
        yield from self.ended

    def close(self) -> None:
        """Close all files."""
        self._tasks.close()
        for thread in self.threads.values():
            thread.files.close()


class Reader:
    """All processes of the tree."""

    def __init__(self, classifier: Classifier, open_files: OpenFiles) -> None:
        self._classifier = classifier
        self._open_files = open_files
        self.processes: dict[int, Process] = {}
        self._rounds: deque[int] = deque(maxlen=MAX_ROUNDS)  # when each began

    def read(self, pids: Collection[int]) -> None:
        """Read each thread of these processes once."""
        self._rounds.append(time.monotonic_ns())
        chosen = sorted(pids)[:MAX_PROCESSES]
        for pid in self.processes.keys() - chosen:
            self.processes.pop(pid).close()
        room = MAX_THREADS
        count = sum(len(process.threads) for process in self.processes.values())
        keep = MAX_INTERVALS // (count or 1)
        for pid in chosen:
            process = self.processes.get(pid) or self.processes.setdefault(pid, Process(pid, self._open_files))
            try:
                process.read(self._classifier, room, keep)
            except (Vanished, Unavailable):
                self.processes.pop(pid).close()
                continue
            room -= len(process.threads)

    def count_rounds(self, start_ns: int, end_ns: int) -> int:
        """Return how often all threads were read between two moments; of the older ones no more than are remembered."""
        count = 0
        for begun_ns in reversed(self._rounds):
            if begun_ns < start_ns:
                break
            count += begun_ns <= end_ns
        return count

    def close(self) -> None:
        """Close all files."""
        while self.processes:
            self.processes.popitem()[1].close()


def _begin(thread: Thread, classifier: Classifier, before_ns: int) -> bool:
    """Read a thread for the first time; False if it has ended already. `before_ns`: it was not there at that moment."""
    try:
        thread.raw = thread.files.read("schedstat")
        thread.counted = parse_schedstat(thread.raw)
        state = classifier.state(thread.pid, thread.files)
    except (Vanished, Unavailable, Malformed):
        thread.files.close()
        return False
    thread.rests.see(state)
    now_ns = time.monotonic_ns()
    if before_ns:
        thread.timeline = Timeline(0, NOT_THERE)
        thread.timeline.change(before_ns, now_ns, thread.counted.run_ns, thread.counted.wait_ns, state)
    else:
        thread.timeline = Timeline(now_ns, state)
    return True


def _read(thread: Thread, classifier: Classifier, before_ns: int) -> bool:
    """Read a thread again; False if it has ended. One that did not run, and does not now, is in the state it was."""
    try:
        raw = thread.files.read("schedstat")
        if raw == thread.raw and not thread.timeline.state.is_running:
            return True
        counted = parse_schedstat(raw)
        state = classifier.state(thread.pid, thread.files)
    except (Vanished, Unavailable, Malformed):
        return False
    last = thread.counted or counted
    thread.timeline.change(
        before_ns,
        time.monotonic_ns(),
        max(counted.run_ns - last.run_ns, 0),
        max(counted.wait_ns - last.wait_ns, 0),
        state,
    )
    thread.rests.see(state)
    thread.raw, thread.counted = raw, counted
    return True
