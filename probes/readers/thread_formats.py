"""What the files of single threads below /proc/PID/task say.

    stat       4319 (python) S 4312 4312 ...           name and state
    schedstat  20273291 887127 79                      ns on a CPU, ns runnable without one, times switched in
    syscall    202 0x5592196dfe40 0x189 0x0 0x0 0x0 0xffffffff 0x7fc9adff2aa0 0x7fc9faca3f16
    wchan      futex_do_wait
    status     voluntary_ctxt_switches:	66
    children   4400 4401

Sources: proc(5), Documentation/scheduler/sched-stats.rst. Who may read them, and at what cost: see thread_files.py.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from perfwatch.probes.errors import Malformed
from perfwatch.probes.readers.proc import text

READ_BYTES: Final = 4096
"""So much is read of each."""
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
    whole = children if len(children) < READ_BYTES else children[: children.rfind(b" ")]
    return [int(word) for word in whole.split() if word.isdigit()]


def signed(argument: int) -> int:
    """Return an argument of a call as the C int that a descriptor is."""
    value: int = struct.unpack("=i", struct.pack("=I", argument & 0xFFFFFFFF))[0]
    return value
