"""Pages that a process has alone (its USS), counted from /proc/PID/pagemap in slices.

/proc/PID/smaps_rollup says the same in one read, but holds the target's `mmap_lock` while it walks a mapping: a thread
of the target that maps or unmaps memory waits as long, 15 ms with 1 GiB. pagemap takes the lock for 2 MiB at a time,
and a slice ends after a given time: that bounds what a thread of the target can lose to it.

Format (Documentation/admin-guide/mm/pagemap.rst): a 64-bit number for each page of address space; bit 63: it is in
memory, bit 56: mapped exactly once (Linux 4.2). Needs the right to ptrace. Cost: 10 ms of CPU for each GiB in memory.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final

from perfwatch.probes import roots
from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.readers.proc import read, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRY_BYTES: Final = 8
STEP_PAGES: Final = 2048
"""So many pages are read at a time: 0.1 ms."""
MAX_MAPS_BYTES: Final = 1 << 20
MAX_PAGES: Final = 16 << 20
"""Address space beyond this (64 GiB in pages of 4 KiB) is not walked."""
_PRESENT_AND_EXCLUSIVE: Final = 0x81  # of an entry's highest byte
_MARK: Final = bytes(byte & _PRESENT_AND_EXCLUSIVE == _PRESENT_AND_EXCLUSIVE for byte in range(256))
_HIGHEST: Final = ENTRY_BYTES - 1 if sys.byteorder == "little" else 0


def count_exclusive(entries: bytes) -> int:
    """Count the pages, in raw pagemap entries, that are in memory and mapped by nobody else."""
    return entries[_HIGHEST::ENTRY_BYTES].translate(_MARK).count(1)


def parse_ranges(maps: bytes, page_bytes: int) -> list[tuple[int, int]]:
    """Return the (first, last + 1) page numbers of mappings that may be accessed.

    /proc/PID/maps: `7f3c5a200000-7f3c5a3ff000 rw-p 00000000 00:00 0`. Without any permission (`---p`) address space is
    only reserved; at the kernel's own end (`[vsyscall]`) there is no entry to read.
    """
    ranges = []
    for line in maps.split(b"\n")[:-1]:  # a carriage return may stand in a path
        span, permissions, *_ = line.split(None, 2)
        if permissions[:3] == b"---" or line.endswith(b"[vsyscall]"):
            continue
        start, _, end = span.partition(b"-")
        ranges.append((int(start, 16) // page_bytes, int(end, 16) // page_bytes))
    return ranges


class ExclusivePages:
    """One pass over a process's address space; to be closed.

    Raises Vanished or Unavailable; Unavailable also for an address space too large to be walked.
    """

    def __init__(self, pid: int) -> None:
        maps = read(roots.PROC / str(pid) / "maps", MAX_MAPS_BYTES)
        ranges = parse_ranges(maps, os.sysconf("SC_PAGE_SIZE")) if len(maps) < MAX_MAPS_BYTES else []
        if len(maps) >= MAX_MAPS_BYTES or sum(end - start for start, end in ranges) > MAX_PAGES:
            raise Unavailable(f"process {pid} has too much address space to be walked", "use smaps_rollup by hand")
        self._path = roots.PROC / str(pid) / "pagemap"
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise translated(error, self._path) from None
        self._steps = _steps(ranges)
        self._count = 0

    def close(self) -> None:
        """Let go of the process's pagemap."""
        os.close(self._file)

    def advance(self, budget_ns: int) -> int | None:
        """Walk on for so long; return the number of exclusive pages at the end of the pass, None before it.

        Pages that come or go meanwhile are counted or not, as it happens. Raises Vanished where the process ended, or
        executed another program.
        """
        until = time.perf_counter_ns() + budget_ns
        for start, pages in self._steps:
            try:
                entries = os.pread(self._file, pages * ENTRY_BYTES, start * ENTRY_BYTES)
            except OSError as error:
                raise translated(error, self._path) from None
            if not entries:
                raise Vanished(f"{self._path} is of a program that has ended")
            self._count += count_exclusive(entries)
            if time.perf_counter_ns() >= until:
                return None
        return self._count


def _steps(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for first, end in ranges:
        for start in range(first, end, STEP_PAGES):
            yield start, min(STEP_PAGES, end - start)
