"""Writes to one place of memory, told by the processor: a hardware watchpoint, by perf_event_open(2).

Of one thread, or of all that run on one CPU, to whichever process they belong: that costs a switch of threads nothing
(one of a watched thread takes 1.3 us more), but needs CAP_PERFMON, or `kernel.perf_event_paranoid` below 1. A thread
of one's own may be watched where that is at most 2. A write costs its thread 12 us of CPU (measured in a virtual
machine). A processor has four such registers, which debuggers use too.

Never inherited: a thread for which no register is left could then not be started. Nothing is left when the descriptor
is closed, however that happens. Source: perf_event_open(2), tools/include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.readers.perf_event import Attributes, open_event

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = mmap.PAGESIZE
_TYPE_BREAKPOINT: Final = 5
_WRITES: Final = 2
_SAMPLE_IP, _SAMPLE_TID, _SAMPLE_TIME = 1, 2, 4
_DISABLED, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR, _TASK, _SAMPLE_ID_ALL, _USE_CLOCKID = 0, 5, 6, 13, 18, 25
_CLOCK_MONOTONIC: Final = 1
_HEADER: Final = struct.Struct("=IHH")
_WRITE: Final = struct.Struct("=QIIQ")
"""Of a sample: instruction, process, thread, time."""
_EXIT: Final = struct.Struct("=IIIIQ")
"""Process, its parent, thread, its parent, time."""
_LOST: Final = struct.Struct("=QQIIQ")
"""Identifier, count, process, thread, time."""
_RECORD_LOST, _RECORD_EXIT, _RECORD_SAMPLE = 2, 4, 9
_DATA_HEAD, _DATA_TAIL = 128, 129
"""Of the first page, in words of 64 bits."""


class Write(NamedTuple):
    """A thread wrote to the place; the value is not told."""

    at_ns: int
    pid: int
    tid: int
    after: int
    """Address of the instruction behind the one that wrote (x86-64)."""


class Exit(NamedTuple):
    """A watched thread ended."""

    at_ns: int
    pid: int
    tid: int


class Lost(NamedTuple):
    """Events that there was no room for, before this time."""

    at_ns: int
    number: int


Event: TypeAlias = Write | Exit | Lost


class Watchpoint:
    """Watches the 4 bytes at an address, and keeps what it sees in a ring of `pages` until it is read; to be closed."""

    __slots__ = ("_bytes", "_ring", "_words")

    def __init__(self, address: int, *, tid: int = -1, cpu: int = -1, pages: int) -> None:
        """Watch a thread, or a CPU; raises Vanished if the thread has ended, Unavailable."""
        self._bytes = pages * PAGE
        fd = _open(address, tid, cpu, enabled=True)
        try:
            self._ring = mmap.mmap(fd, PAGE + self._bytes)
        except OSError as error:
            reason = f"no memory for another ring of events ({error.strerror})"
            raise Unavailable(reason, "sysctl kernel.perf_event_mlock_kb=8192") from None
        finally:
            os.close(fd)  # the ring has one of its own
        self._words = memoryview(self._ring).cast("Q")

    def close(self) -> None:
        """Let go of the register."""
        self._words.release()
        self._ring.close()

    def read(self) -> Iterator[Event]:
        """Give what was seen since the last reading, in order of time; costs 1 us, and 1 us an event."""
        head, tail = self._words[_DATA_HEAD], self._words[_DATA_TAIL]
        if head == tail:
            return iter(())
        start, end = tail % self._bytes + PAGE, head % self._bytes + PAGE
        data = self._ring[start:end] if start < end else self._ring[start:] + self._ring[PAGE:end]
        self._words[_DATA_TAIL] = head
        return parse_events(data)


def parse_events(data: bytes) -> Iterator[Event]:
    """Give the events among records as the kernel writes them; those of other kinds are skipped."""
    at = 0
    while at + _HEADER.size <= len(data):
        kind, _, size = _HEADER.unpack_from(data, at)
        body = at + _HEADER.size
        if kind == _RECORD_SAMPLE:
            after, pid, tid, at_ns = _WRITE.unpack_from(data, body)
            yield Write(at_ns, pid, tid, after)
        elif kind == _RECORD_EXIT:
            pid, _, tid, _, at_ns = _EXIT.unpack_from(data, body)
            yield Exit(at_ns, pid, tid)
        elif kind == _RECORD_LOST:
            _, number, _, _, at_ns = _LOST.unpack_from(data, body)
            yield Lost(at_ns, number)
        at += max(size, _HEADER.size)


def check(*, tid: int = -1, cpu: int = -1) -> None:
    """Raise Unavailable where this user cannot watch a thread, or a CPU; nothing is watched."""
    place = ctypes.c_uint32()
    os.close(_open(ctypes.addressof(place), tid, cpu, enabled=False))


def _open(address: int, tid: int, cpu: int, *, enabled: bool) -> int:
    attributes = Attributes(
        type=_TYPE_BREAKPOINT,
        sample_period=1,
        sample_type=_SAMPLE_IP | _SAMPLE_TID | _SAMPLE_TIME,
        # Ends of threads are told of a watched one; of a CPU they would be those of the whole host.
        flags=_flags(_EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR, _SAMPLE_ID_ALL, _USE_CLOCKID)
        | (_flags(_TASK) if cpu < 0 else 0)
        | (0 if enabled else _flags(_DISABLED)),
        bp_type=_WRITES,
        bp_addr=address,
        bp_len=4,
        clockid=_CLOCK_MONOTONIC,
    )
    try:
        return open_event(attributes, tid=tid, cpu=cpu)
    except OSError as error:
        raise _translated(error.errno or 0, tid) from None


def _flags(*bits: int) -> int:
    return sum(1 << bit for bit in bits)


def _translated(code: int, tid: int) -> Exception:
    if code == errno.ESRCH:
        return Vanished(f"thread {tid} has ended")
    if code == errno.ENOSPC:
        return Unavailable("the processor's watchpoints are all in use", "end the debuggers that use them")
    if code in {errno.EMFILE, errno.ENFILE}:
        return Unavailable("this process has no file descriptor left", "raise the limit of open files (ulimit -n)")
    if code in {errno.EACCES, errno.EPERM, errno.ENOSYS}:
        return Unavailable(
            f"this user may set no watchpoint ({os.strerror(code)})",
            "sysctl kernel.perf_event_paranoid=2, or run perfwatch as root (CAP_PERFMON)",
        )
    return Unavailable(f"this machine has no watchpoints ({os.strerror(code)})", "run perfwatch on another machine")
