"""What processes read from and wrote to block devices, by /proc/PID/io, and who moved most.

    read_bytes: 7536640
    write_bytes: 4096

Bytes that were fetched from a device for a process, and bytes that it made dirty: these may be written later, by a
thread of the kernel (Linux 2.6.20). What a child did is counted again for the process that waited for it; where the
child was seen before, `Movers` takes it off. Needs the right to ptrace: without it, other users' processes are left
out. Cost: 8 us a process.
"""

from __future__ import annotations

import errno
import heapq
import os
import re
import time
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.readers.proc import read, text
from perfwatch.probes.samples import DiskUser

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

MAX_PROCESSES: Final = 4096
TOP: Final = 12
"""More than a view shows: who is left out of a reading has less than its share in a sum of readings."""
NAME_CHARS: Final = 15
_GENERATIONS: Final = 4
_IO_BYTES: Final = 512
_STAT_BYTES: Final = 4096
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PARENT, _START = 4 - 3, 22 - 3  # fields of /proc/PID/stat, counted from the one after the name
_BYTES: Final = re.compile(rb"^read_bytes: (\d{1,20})\nwrite_bytes: (\d{1,20})\n", re.MULTILINE)
_GONE: Final = {errno.ENOENT, errno.ESRCH}
_REFUSED: Final = {errno.EACCES, errno.EPERM}


class Moved(NamedTuple):
    """Bytes that a process caused on block devices."""

    read: int
    written: int

    def beyond(self, other: Moved) -> Moved:
        """Return what this is more than the other, and no less than nothing."""
        return Moved(max(self.read - other.read, 0), max(self.written - other.written, 0))

    def with_(self, other: Moved) -> Moved:
        """Return both together."""
        return Moved(self.read + other.read, self.written + other.written)


class _Process(NamedTuple):
    """What /proc/PID/stat says of a process."""

    name: bytes
    parent: int
    started: int
    """In clock ticks since the boot."""


_NOTHING: Final = Moved(0, 0)


class Movers:
    """Remembers what each process has moved, to tell who moved most since the last reading."""

    def __init__(self) -> None:
        self._before: dict[int, Moved | None] = {}
        self._asked: int | None = None
        self._told: dict[int, tuple[tuple[int, ...], Moved]] = {}  # those that were active: ancestors, and their total
        self._counted: dict[int, Moved] = {}  # of children that ended: what their parents may report again

    def read(self, target: Collection[int]) -> tuple[dict[int, Moved | None], tuple[DiskUser, ...]]:
        """Return what each process has moved, and the twelve that moved most since the last reading, the most first.

        None stands for one that this user may not ask. The first reading names nobody.
        """
        asked, self._asked = self._asked, time.clock_gettime_ns(time.CLOCK_BOOTTIME) * _TICKS_PER_S // 1_000_000_000
        before, self._before = self._before, moved_by_all(target)
        if asked is None:
            return self._before, ()
        stats: dict[int, _Process | None] = {}
        grown: dict[int, Moved] = {}
        for pid, moved in self._before.items():
            more, is_known = _growth(before.get(pid), moved)
            if not any(more) or (process := _process(pid, stats)) is None:
                continue
            if is_known or process.started >= asked:  # else it was there, and only not seen
                grown[pid] = more
            self._told[pid] = (_ancestors(process, stats), moved or _NOTHING)
        self._take_off_children(grown)
        largest = heapq.nlargest(TOP, (pid for pid in grown if any(grown[pid])), key=lambda pid: sum(grown[pid]))
        users = (DiskUser(pid, _name(stats[pid]), *grown[pid], pid in target) for pid in largest)
        return self._before, tuple(users)

    def _take_off_children(self, grown: dict[int, Moved]) -> None:
        """Take off what processes have from children that were counted themselves, and have ended since.

        A parent may have been read just before it waited for its child: then its figure grows by the next reading.
        """
        ended: dict[int, Moved] = {}
        for pid in [pid for pid in self._told if pid not in self._before]:
            ancestors, moved = self._told.pop(pid)
            heir = next((each for each in ancestors if each in self._before), None)
            if heir is not None:
                ended[heir] = ended.get(heir, _NOTHING).with_(moved)
        earlier, self._counted = self._counted, {}
        for heir in earlier.keys() | ended.keys():
            new = ended.get(heir, _NOTHING)
            own = grown.get(heir, _NOTHING).beyond(earlier.get(heir, _NOTHING))
            if heir in grown:
                grown[heir] = own.beyond(new)
            if any(left := new.beyond(own)):
                self._counted[heir] = left


def moved_by_all(first: Iterable[int]) -> dict[int, Moved | None]:
    """Read what each visible process has moved, at most 4,096: `first`, then those with the highest numbers.

    None for one that this user may not ask. The lowest numbers are threads of the kernel.
    """
    listed = (int(name) for name in os.listdir(roots.PROC) if name.isdigit())  # noqa: PTH208 - a tenth of iterdir's cost
    wanted = islice(dict.fromkeys((*first, *sorted(listed, reverse=True))), MAX_PROCESSES)
    return dict(_all_moved(wanted))


def moved_by(pid: int) -> Moved | None:
    """Read what a process has moved; None where this user may not ask. Raises Vanished."""
    try:
        file = os.open(f"{roots.PROC}/{pid}/io", os.O_RDONLY | os.O_CLOEXEC)  # no Path: it would double the cost
        try:
            return parse_io(os.read(file, _IO_BYTES))
        finally:
            os.close(file)
    except OSError as error:
        if error.errno in _REFUSED:
            return None
        if error.errno in _GONE:
            raise Vanished(f"process {pid} has ended") from None
        raise


def parse_io(raw: bytes) -> Moved:
    """Parse /proc/PID/io; raises Malformed."""
    found = _BYTES.search(raw)
    if not found:
        raise Malformed(f"unknown form of /proc/PID/io: {raw[:200]!r}")
    return Moved(int(found[1]), int(found[2]))


def _all_moved(pids: Iterable[int]) -> Iterator[tuple[int, Moved | None]]:
    for pid in pids:
        try:
            yield pid, moved_by(pid)
        except Vanished:
            continue


def _growth(before: Moved | None, now: Moved | None) -> tuple[Moved, bool]:
    """Return what a process has moved since, and whether it was seen before: a lower total is that of another one."""
    if now is None:
        return _NOTHING, False
    if before is None or now.read < before.read or now.written < before.written:
        return now, False
    return now.beyond(before), True


def _ancestors(process: _Process, stats: dict[int, _Process | None]) -> tuple[int, ...]:
    """Return who may come to wait for a process: its parent first, four generations at most."""
    found: list[int] = []
    each: _Process | None = process
    while each and each.parent and len(found) < _GENERATIONS:
        found.append(each.parent)
        each = _process(each.parent, stats)
    return tuple(found)


def _process(pid: int, stats: dict[int, _Process | None]) -> _Process | None:
    """Read a process's name, parent and start, once a reading; None where it has ended."""
    if pid not in stats:
        try:
            stats[pid] = _parse_stat(read(roots.PROC / str(pid) / "stat", _STAT_BYTES))
        except (Vanished, Unavailable):
            stats[pid] = None
    return stats[pid]


def _parse_stat(raw: bytes) -> _Process:
    head, _, tail = raw.rpartition(b")")  # the name may hold anything, also brackets
    fields = tail.split()
    try:
        return _Process(head.partition(b"(")[2], int(fields[_PARENT]), int(fields[_START]))
    except (IndexError, ValueError):
        raise Malformed(f"unknown form of /proc/PID/stat: {raw[:200]!r}") from None


def _name(process: _Process | None) -> str:
    return text(process.name)[:NAME_CHARS] if process else ""
