"""The files of single threads below /proc/PID/task, kept open and read again with pread: half the cost of opening.

    stat       4319 (python) S 4312 4312 ...           name and state
    schedstat  20273291 887127 79                      ns on a CPU, ns runnable without one, times switched in
    syscall    202 0x5592196dfe40 0x189 0x0 0x0 0x0 0xffffffff 0x7fc9adff2aa0 0x7fc9faca3f16
    wchan      futex_do_wait
    status     voluntary_ctxt_switches:	66
    children   4400 4401

`stat`, `schedstat`, `status` may be read by all; `syscall` and `wchan` need ptrace(2) rights. Sources: proc(5),
Documentation/scheduler/sched-stats.rst. Cost of a reading, in us (kernel 6.18): schedstat 0.9, wchan 1.7, syscall 1.9,
stat 3.0, status 7.0; 4 more where the file is opened for it. A thread that has not run since its last reading has the
same `schedstat`: then nothing else of it needs reading, but for whether it has become runnable.
"""

from __future__ import annotations

import os
import resource
import struct
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, Vanished
from perfwatch.probes.proc import text, translated

if TYPE_CHECKING:
    from pathlib import Path

MAX_THREADS: Final = 1024
"""Of one process so many are looked at."""
_READ_BYTES: Final = 4096
_LEFT_TO_OTHERS: Final = 0.5
"""Part of this process's descriptors that is left to everything else."""
_NO_CHANNEL: Final = (b"0", b"")
_SYSCALL_WORDS: Final = 9
_OUTSIDE_WORDS: Final = 3
_UNSIGNED: Final = 1 << 64
_STARTSTACK, _STARTTIME, _PARENT = 25, 19, 1  # places in stat, counted from the state


class SchedStat(msgspec.Struct, frozen=True):
    """What the scheduler counts of a thread, cumulative."""

    run_ns: int
    """While it runs this is up to one tick of the kernel (4 ms) behind."""
    wait_ns: int
    """Counted when the wait is over."""
    switched_in: int


class SystemCall(msgspec.Struct, frozen=True):
    """The call that a thread sleeps in."""

    number: int
    """-1: it sleeps outside of one (a page fault)."""
    arguments: tuple[int, ...]
    """Six, or none outside of a call."""
    stack: int
    """Its user stack pointer: tells apart from how deep in the program the call was made."""


class ProcessStat(msgspec.Struct, frozen=True):
    """What /proc/PID/stat says of a process."""

    name: str
    state: str
    parent: int
    started_ticks: int
    """Since the boot."""
    stack_start: int
    """Drawn anew at each execve; 0 without ptrace rights."""


class OpenFiles:
    """How many descriptors the readers of one probe may keep open; they share what the process may have."""

    def __init__(self, most: int | None = None) -> None:
        """By default half of what RLIMIT_NOFILE allows this process."""
        if most is None:
            most = int(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * (1 - _LEFT_TO_OTHERS))
        self._left = most

    def take(self) -> bool:
        """Whether one more may be kept."""
        if self._left <= 0:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """Count one that was closed."""
        self._left += 1


class ThreadFiles:
    """The files of one thread; each is opened when it is first read, and kept if there is room."""

    __slots__ = ("_files", "_open_files", "path")

    def __init__(self, path: Path, open_files: OpenFiles) -> None:
        """`path` is /proc/PID/task/TID, or /proc/PID for those that both have."""
        self.path = path
        self._open_files = open_files
        self._files: dict[str, int] = {}

    def read(self, name: str) -> bytes:
        """Return the content (at most 4 KiB); raises Vanished if the thread has ended, Unavailable if refused."""
        file = self._files.get(name)
        try:
            if file is not None:
                return os.pread(file, _READ_BYTES, 0)
            return self._open_and_read(name)
        except OSError as error:
            raise translated(error, self.path / name) from None

    def _open_and_read(self, name: str) -> bytes:
        file = os.open(f"{self.path}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = os.pread(file, _READ_BYTES, 0)
        except OSError:
            os.close(file)
            raise
        if self._open_files.take():
            self._files[name] = file
        else:
            os.close(file)
        return content

    def close(self) -> None:
        """Close what is open."""
        while self._files:
            os.close(self._files.popitem()[1])
            self._open_files.give_back()


class TaskList:
    """The threads of one process. Their number is asked first (1 us); they are listed (0.4 us each) if it changed."""

    def __init__(self, pid: int, open_files: OpenFiles) -> None:
        self._path = roots.PROC / str(pid) / "task"
        self._open_files = open_files
        self._directory: int | None = None
        self._count = 0

    def changed(self) -> bool:
        """Whether there are more or fewer threads than at the last listing; raises Vanished."""
        try:
            return self._links() != self._count
        except OSError as error:
            raise translated(error, self._path) from None

    def list(self) -> list[int]:
        """Return the thread ids, at most `MAX_THREADS`; raises Vanished or Unavailable."""
        try:
            if self._directory is None and self._open_files.take():
                self._directory = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._count = self._links()
            names = os.listdir(self._path if self._directory is None else self._directory)  # noqa: PTH208 - of a descriptor
        except OSError as error:
            self.close()
            raise translated(error, self._path) from None
        if not names:  # what a directory shows whose process has ended while it was open
            self.close()
            raise Vanished(f"{self._path} is empty")
        return sorted(int(name) for name in names if name.isdigit())[:MAX_THREADS]

    def _links(self) -> int:
        return (self._path.stat() if self._directory is None else os.fstat(self._directory)).st_nlink

    def close(self) -> None:
        """Close the directory."""
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None
            self._open_files.give_back()


def parse_state(stat: bytes) -> str:
    """Return the state's letter; raises Malformed. A name may hold anything, also `) R `: the last one ends it."""
    place = stat.rfind(b")") + 2
    if place < 2 or not stat[place : place + 1].isalpha():  # noqa: PLR2004
        raise Malformed("stat of a thread has no state")
    return chr(stat[place])


def parse_name(stat: bytes) -> str:
    """Return the name, at most 15 bytes of it in the kernel; untrusted."""
    return text(stat[stat.find(b"(") + 1 : stat.rfind(b")")])


def parse_schedstat(schedstat: bytes) -> SchedStat:
    """Return what the scheduler counts; raises Malformed."""
    words = schedstat.split()
    if len(words) < 3 or not all(map(bytes.isdigit, words)):  # noqa: PLR2004
        raise Malformed("schedstat has not three figures")
    return SchedStat(int(words[0]), int(words[1]), int(words[2]))


def parse_syscall(syscall: bytes) -> SystemCall | None:
    """Return the call that the thread sleeps in; None where it is not asleep (`running`). Raises Malformed."""
    words = syscall.split()
    if words == [b"running"]:
        return None
    try:
        number = int(words[0])
        rest = [int(word, 16) for word in words[1:]]
    except (ValueError, IndexError):
        raise Malformed("syscall of a thread is not what proc(5) says") from None
    if len(words) not in (_SYSCALL_WORDS, _OUTSIDE_WORDS) or not all(0 <= word < _UNSIGNED for word in rest):
        raise Malformed("syscall of a thread is not what proc(5) says")
    return SystemCall(number, tuple(rest[:-2]), rest[-2])


def parse_wchan(wchan: bytes) -> str | None:
    """Return the kernel function that the thread sleeps in; None where it does not sleep, or that may not be known."""
    return None if wchan in _NO_CHANNEL else text(wchan)


def parse_switches(status: bytes) -> tuple[int | None, int | None]:
    """Return the voluntary and the involuntary switches that `status` counts; None where it does not."""
    counted: dict[bytes, int] = {}
    for line in status.splitlines():
        name, _, value = line.partition(b":")
        if name.endswith(b"_ctxt_switches") and value.strip().isdigit():
            counted[name] = int(value)
    return counted.get(b"voluntary_ctxt_switches"), counted.get(b"nonvoluntary_ctxt_switches")


def parse_process_stat(stat: bytes) -> ProcessStat:
    """Return what tells one process, and one program in it, from another; raises Malformed."""
    state = parse_state(stat)
    words = stat[stat.rfind(b")") + 2 :].split()
    try:
        return ProcessStat(
            parse_name(stat), state, int(words[_PARENT]), int(words[_STARTTIME]), int(words[_STARTSTACK])
        )
    except (ValueError, IndexError):
        raise Malformed("stat of a process is shorter than proc(5) says") from None


def parse_children(children: bytes) -> list[int]:
    """Return the PIDs of a thread's children; what was cut off at the end is left out."""
    whole = children if len(children) < _READ_BYTES else children[: children.rfind(b" ")]
    return [int(word) for word in whole.split() if word.isdigit()]


def signed(argument: int) -> int:
    """Return an argument of a call as the C int that a descriptor is."""
    value: int = struct.unpack("=i", struct.pack("=I", argument & 0xFFFFFFFF))[0]
    return value
