"""Which thread of a process is which: its number here, its number in its own PID namespace, its pthread_t.

/proc/PID/task numbers threads as this PID namespace does. A process in a container counts its own; the line
`NSpid:	4319	8` of /proc/PID/task/TID/status has both, from the reader's namespace inwards (Linux 4.1).

A pthread_t (`threading.get_ident()`) is the address of the C library's struct pthread. In that the kernel put the
thread's number when it started, as its own namespace counts; where, differs: glibc 2.x has it at 720 on x86-64, at 208
on arm64, musl at 48 (the latter two are untested). The memory is the target's, so only numbers of threads that it has
are believed. Needs ptrace(2) rights. Cost: 2 us a thread, and 12 us for each new one of a process in another namespace.
"""

from __future__ import annotations

import os
import struct
from functools import partial
from typing import TYPE_CHECKING, Final

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, ProbeError
from perfwatch.probes.readers.patience import in_time
from perfwatch.probes.readers.proc import read, translated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MAX_THREADS: Final = 4096
"""Of one process so many are looked at."""
_LIKELY: Final = (720, 208, 48)
_SEARCHED_BYTES: Final = 1024
_NUMBER: Final = struct.Struct("=i")
_USER_SPACE_END: Final = 1 << 63
_PATIENCE_S: Final = 0.2
"""Memory that is not present keeps its reader waiting for whoever provides it: a file server, or another process."""


class ThreadIds:
    """The threads of one process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._is_here: bool | None = None  # in this PID namespace
        self._inner: dict[int, int] = {}  # by number here
        self._place: int | None = None  # of the number in struct pthread

    def by_inner(self) -> dict[int, int]:
        """Return the numbers here of all threads, by those in their own namespace; raises Vanished or Unavailable."""
        task = roots.PROC / str(self._pid) / "task"
        try:
            tids = [int(name) for name in os.listdir(task)[:MAX_THREADS] if name.isdigit()]  # noqa: PTH208 - half the cost
        except OSError as error:
            raise translated(error, task) from None
        if self._is_here is None:
            self._is_here = len(_numbers(self._pid, self._pid)) == 1
        if self._is_here:
            return {tid: tid for tid in tids}
        self._inner = {tid: inner for tid in tids if (inner := self._inner.get(tid) or _innermost(self._pid, tid))}
        return {inner: tid for tid, inner in self._inner.items()}

    def by_pthread(self, addresses: Collection[int]) -> dict[int, int]:
        """Return the numbers here of those pthread_t that are threads; raises Vanished or Unavailable."""
        by_inner = self.by_inner()
        structs = in_time(b"mem %d" % self._pid, partial(_structs, self._pid, addresses), _PATIENCE_S) or {}
        inner = self._inner_of(structs, by_inner)
        return {address: by_inner[number] for address, number in inner.items()}

    def _inner_of(self, structs: dict[int, bytes], threads: Collection[int]) -> dict[int, int]:
        """Return what stands where most of the structs have the number of a thread, each another."""
        for place in self._places():
            found = _at(place, structs, threads)
            if 2 * len(found) > len(structs):
                if len(found) > 1:
                    self._place = place
                return found
        return {}

    def _places(self) -> Iterator[int]:
        if self._place is not None:
            yield self._place
        yield from _LIKELY
        yield from range(0, _SEARCHED_BYTES, _NUMBER.size)


def _at(place: int, structs: dict[int, bytes], threads: Collection[int]) -> dict[int, int]:
    """Return the threads' numbers at a place, by address; none where two are the same."""
    read_there = ((address, int(_NUMBER.unpack_from(content, place)[0])) for address, content in structs.items())
    found = {address: number for address, number in read_there if number in threads}
    return found if len(set(found.values())) == len(found) else {}


def _structs(pid: int, addresses: Collection[int]) -> dict[int, bytes]:
    path = roots.PROC / str(pid) / "mem"
    found: dict[int, bytes] = {}
    try:
        memory = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise translated(error, path) from None
    try:
        for address in sorted(addresses)[:MAX_THREADS]:
            content = _content(memory, address)
            if len(content) == _SEARCHED_BYTES:
                found[address] = content
    finally:
        os.close(memory)
    return found


def _content(memory: int, address: int) -> bytes:
    """Return the beginning of a struct pthread; less where it is none, or its thread has ended."""
    try:
        return os.pread(memory, _SEARCHED_BYTES, address) if 0 < address < _USER_SPACE_END else b""
    except OSError:
        return b""


def _innermost(pid: int, tid: int) -> int | None:
    """Return a thread's number in its own namespace; None if it has ended."""
    try:
        return _numbers(pid, tid)[-1]
    except (ProbeError, OSError):
        return None


def _numbers(pid: int, tid: int) -> list[int]:
    """Return a thread's numbers, from this namespace inwards; raises Vanished, Unavailable or Malformed."""
    status = read(roots.PROC / str(pid) / "task" / str(tid) / "status")
    return parse_numbers(status)


def parse_numbers(status: bytes) -> list[int]:
    """Return the numbers of the line `NSpid:`; raises Malformed where there is none."""
    line = next((line for line in status.splitlines() if line.startswith(b"NSpid:")), b"")
    numbers = [int(word) for word in line.split()[1:] if word.isdigit()]
    if not numbers:
        raise Malformed("status of a thread has no NSpid")
    return numbers
