"""The threads of the target, once a second: state, what each waits in, and what the scheduler counts of it.

Sources and costs: see thread_files.py. A thread that did not run since its last reading costs 4 us (schedstat, stat),
one that did 15 us. Wait channel and system call need ptrace(2) rights: the same user, and where Yama's ptrace_scope
is 1 CAP_SYS_PTRACE; without them these fields are None. Where the interpreter lock of a process lies is looked for
every 10 s (0.4 ms): it may run another program by then.
"""

from __future__ import annotations

import platform
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.probe import AVAILABLE, Availability
from perfwatch.probes.readers.calls import CLASSES as CALL_CLASSES
from perfwatch.probes.readers.calls import NAMES, classes, name_of
from perfwatch.probes.readers.interpreter import find_interpreter
from perfwatch.probes.readers.thread_files import OpenFiles, TaskList, ThreadFiles
from perfwatch.probes.readers.thread_formats import (
    SystemCall,
    parse_name,
    parse_schedstat,
    parse_state,
    parse_switches,
    parse_syscall,
    parse_wchan,
    signed,
)
from perfwatch.probes.samples import ThreadsSample, ThreadState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import TracebackType

    from perfwatch.probes.records import Record

MAX_PROCESSES: Final = 64
MAX_THREADS: Final = 1024
"""In all."""
MAX_SHOWN: Final = 256
"""Of one process."""
LOOK_NS: Final = 10_000_000_000
"""How often an interpreter is looked for."""
_FUTEX: Final = CALL_CLASSES.index("futex")
_ON_DESCRIPTORS: Final = frozenset(
    CALL_CLASSES.index(name)
    for name in ("read", "readv", "recvmsg", "write", "writev", "sendmsg", "sendfile", "connect", "epoll")
)


class _Thread:
    """One thread: its files, its last schedstat as it was read, and what was made of it."""

    __slots__ = ("files", "schedstat", "state")

    def __init__(self, files: ThreadFiles) -> None:
        self.files = files
        self.schedstat = b""
        self.state: ThreadState | None = None


class _Process:
    """One process and its threads."""

    def __init__(self, pid: int, open_files: OpenFiles) -> None:
        self._pid = pid
        self._open_files = open_files
        self._tasks = TaskList(pid, open_files)
        self._look_ns = 0
        self.threads: dict[int, _Thread] = {}
        self.count = 0
        self.runtime: tuple[int, int] | None = None
        """Where its interpreter lies, with the lock."""

    def look(self, now_ns: int) -> None:
        """Look for its interpreter, if that is due and allowed; raises Vanished."""
        if now_ns < self._look_ns:
            return
        self._look_ns, self.runtime = now_ns + LOOK_NS, None
        with suppress(Unavailable):
            found = find_interpreter(roots.PROC, self._pid)
            self.runtime = None if found is None else found.runtime

    def renew(self, room: int) -> None:
        """List its threads, at most `room` of them; raises Vanished or Unavailable."""
        tids = self._tasks.list()
        self.count = len(tids)
        kept = tids[:room]
        for tid in self.threads.keys() - kept:
            self.threads.pop(tid).files.close()
        for tid in kept:
            if tid not in self.threads:
                files = ThreadFiles(roots.PROC / str(self._pid) / "task" / str(tid), self._open_files)
                self.threads[tid] = _Thread(files)

    def close(self) -> None:
        self._tasks.close()
        for thread in self.threads.values():
            thread.files.close()


class ThreadsProbe:
    """Samples the threads of at most 64 processes of the target, 1,024 in all."""

    name = "threads"
    period_s = 1.0

    def __init__(self, tree: Callable[[], Collection[int]]) -> None:
        """`tree` gives the PIDs that belong to the target at this moment."""
        self._tree = tree
        self._reader = ThreadReader(platform.machine())
        self._open_files = OpenFiles()
        self._processes: dict[int, _Process] = {}

    def availability(self) -> Availability:
        """Say what may be read of the target's threads; of perfwatch's own where there is no target yet."""
        pid = next(iter(self._tree()), None)
        path = roots.PROC / ("self" if pid is None else str(pid))
        if not roots.PROC.joinpath("self", "schedstat").exists():
            return Availability(
                "limited", "this kernel counts no scheduler statistics", "run and wait times", "CONFIG_SCHED_INFO=y"
            )
        files = ThreadFiles(path, OpenFiles(0))
        try:
            files.read("syscall")
        except Vanished:
            return AVAILABLE  # it has ended, which is no fault of the probe; or is hidden, which its read will show
        except (Unavailable, OSError):
            return Availability(
                "limited",
                "the target belongs to another user, or ptrace is restricted (Yama)",
                "what its threads wait in: system calls and wait channels",
                "run perfwatch as the target's user, or as root (CAP_SYS_PTRACE)",
            )
        return AVAILABLE

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._processes:
            self._processes.popitem()[1].close()

    def read(self, now_ns: int) -> Sequence[Record]:
        """Return one sample of each process."""
        pids = sorted(self._tree())[:MAX_PROCESSES]
        for pid in self._processes.keys() - pids:
            self._processes.pop(pid).close()
        samples: list[Record] = []
        room = MAX_THREADS
        for pid in pids:
            if pid not in self._processes:
                self._processes[pid] = _Process(pid, self._open_files)
            process = self._processes[pid]
            try:
                process.renew(room)
                process.look(now_ns)
            except (Vanished, Unavailable):
                self._processes.pop(pid).close()
                continue
            room -= len(process.threads)
            read = (self._reader.read(tid, thread, process.runtime) for tid, thread in process.threads.items())
            states = [state for state in read if state is not None]
            samples.append(ThreadsSample(now_ns, pid, process.count, tuple(islice(_in_order(states), MAX_SHOWN))))
        return samples


class ThreadReader:
    """Reads threads; knows the system calls of a machine."""

    def __init__(self, machine: str) -> None:
        self._machine = machine if machine in NAMES else None
        known = classes(machine) if self._machine else {}
        self._on_descriptors = {number for number, kind in known.items() if kind in _ON_DESCRIPTORS}
        self._futexes = {number for number, kind in known.items() if kind == _FUTEX}

    def read(self, tid: int, thread: _Thread, runtime: tuple[int, int] | None = None) -> ThreadState | None:
        """Return what a thread does; None if it has just ended. Where it did not run, only its state is read anew.

        `runtime` is where the interpreter of its process lies.
        """
        try:
            schedstat, stat = _or_none(thread.files, "schedstat"), thread.files.read("stat")
            letter = parse_state(stat)
            before = thread.state
            if before and before.state == letter and schedstat and schedstat == thread.schedstat and letter != "R":
                return before
            thread.state = self._state(tid, thread.files, (stat, schedstat), runtime)
            thread.schedstat = schedstat or b""
        except (Vanished, Unavailable, Malformed):
            return None
        return thread.state

    def _state(
        self, tid: int, files: ThreadFiles, told: tuple[bytes, bytes | None], runtime: tuple[int, int] | None
    ) -> ThreadState:
        stat, schedstat = told
        counted = parse_schedstat(schedstat) if schedstat else None
        channel = _or_none(files, "wchan")
        syscall = _or_none(files, "syscall")
        voluntary, involuntary = parse_switches(files.read("status"))
        call = parse_syscall(syscall) if syscall else None
        letter = parse_state(stat)
        if letter == "S" and syscall and call is None:
            letter = "R"  # it woke up between the two looks
        return ThreadState(
            tid=tid,
            name=parse_name(stat),
            state=letter,
            wait_channel=parse_wchan(channel) if channel else None,
            call=name_of(self._machine, call.number) if call and self._machine else None,
            fd=self._descriptor(call) if call else None,
            run_ns=counted.run_ns if counted else None,
            wait_ns=counted.wait_ns if counted else None,
            voluntary_switches=voluntary,
            involuntary_switches=involuntary,
            wants_gil=self._wants_gil(call, runtime) if call else None,
        )

    def _wants_gil(self, call: SystemCall, runtime: tuple[int, int] | None) -> bool | None:
        if runtime is None or call.number not in self._futexes or not call.arguments:
            return None
        return runtime[0] <= call.arguments[0] < runtime[1]

    def _descriptor(self, call: SystemCall) -> int | None:
        return signed(call.arguments[0]) if call.number in self._on_descriptors else None


def _or_none(files: ThreadFiles, name: str) -> bytes | None:
    """Read what may be refused, or not be there on this kernel."""
    try:
        return files.read(name)
    except (Unavailable, Vanished):
        return None


def _in_order(states: list[ThreadState]) -> list[ThreadState]:
    return sorted(states, key=lambda state: (state.state not in "RD", state.tid))
