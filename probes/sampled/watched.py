"""Which descriptors a thread waits for in poll, select or epoll.

The kernel keeps an epoll's list in fdinfo:

    pos:	0
    flags:	02
    tfd:        7 events:       19 data:                7  pos:0 ino:8f3 sdev:9

Those of poll and select stand in the target's memory, where the call's arguments point. That memory is read only where
it is present (/proc/PID/pagemap): what is not could keep the reader waiting for whoever provides it. Needs ptrace(2)
rights. Cost: 20 us.
"""

from __future__ import annotations

import os
import struct
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes import roots
from perfwatch.probes.errors import ProbeError
from perfwatch.probes.readers.proc import read

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_WATCHED: Final = 64
"""So many descriptors of one wait are looked at."""
MAX_SELECTED: Final = 1024
_MAX_INFO_BYTES: Final = 64 << 10
_PAGE: Final = os.sysconf("SC_PAGESIZE")
_PAGEMAP_ENTRY: Final = struct.Struct("=Q")
_PRESENT: Final = 1 << 63
_POLLFD: Final = struct.Struct("=ihh")
_POLLIN: Final = 1
_WORD_BITS: Final = 64
_TARGET: Final = b"tfd:"


class Watched(NamedTuple):
    """One descriptor, and what is waited for."""

    fd: int
    writing: bool


def read_poll(pid: int, address: int, count: int) -> list[Watched] | None:
    """Return what poll(2) waits for; None where that is not to be known."""
    memory = _read_memory(pid, address, min(count, MAX_WATCHED) * _POLLFD.size)
    return None if memory is None else parse_poll(memory)


def parse_poll(memory: bytes) -> list[Watched]:
    """Return the descriptors of an array of struct pollfd; negative ones are not waited for."""
    return [
        Watched(fd, not events & _POLLIN)
        for fd, events, _ in _POLLFD.iter_unpack(memory[: len(memory) // _POLLFD.size * _POLLFD.size])
        if fd >= 0
    ]


def read_select(pid: int, count: int, reads: int, writes: int) -> list[Watched] | None:
    """Return what select(2) waits for; None where that is not to be known."""
    size = (min(count, MAX_SELECTED) + _WORD_BITS - 1) // _WORD_BITS * 8
    watched: list[Watched] = []
    for address, writing in ((reads, False), (writes, True)):
        if address:
            memory = _read_memory(pid, address, size)
            if memory is None:
                return None
            watched += [Watched(fd, writing) for fd in islice(parse_set(memory), MAX_WATCHED)]
    return watched


def parse_set(memory: bytes) -> Iterator[int]:
    """Yield the descriptors in an fd_set."""
    bits = int.from_bytes(memory, "little")
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def read_epoll(pid: int, fd: int) -> list[Watched] | None:
    """Return what an epoll watches; None where that is not to be known."""
    try:
        info = read(roots.PROC / str(pid) / "fdinfo" / str(fd), _MAX_INFO_BYTES)
    except (ProbeError, OSError):
        return None
    return parse_epoll(info)


def parse_epoll(info: bytes) -> list[Watched]:
    """Return the descriptors that fdinfo of an epoll names; those without any event are left out."""
    watched = []
    for line in info.splitlines():
        words = line.split()
        if len(words) > 3 and words[0] == _TARGET and words[1].isdigit():  # noqa: PLR2004
            try:
                events = int(words[3], 16)
            except ValueError:
                continue
            watched.append(Watched(int(words[1]), not events & _POLLIN))
    return watched[:MAX_WATCHED]


def _read_memory(pid: int, address: int, size: int) -> bytes | None:
    if size <= 0 or address % 4:
        return None
    try:
        if not _is_present(pid, address, size):
            return None
        memory = os.open(roots.PROC / str(pid) / "mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = os.pread(memory, size, address)
        finally:
            os.close(memory)
    except (OSError, OverflowError):
        return None
    return content if len(content) == size else None


def _is_present(pid: int, address: int, size: int) -> bool:
    first, last = address // _PAGE, (address + size - 1) // _PAGE
    pagemap = os.open(roots.PROC / str(pid) / "pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        entries = os.pread(pagemap, (last - first + 1) * _PAGEMAP_ENTRY.size, first * _PAGEMAP_ENTRY.size)
    finally:
        os.close(pagemap)
    found = [entry & _PRESENT for (entry,) in _PAGEMAP_ENTRY.iter_unpack(entries)]
    return len(found) == last - first + 1 and all(found)
