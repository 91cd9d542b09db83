"""Where cgroups can be read: in the mounts of the reader, or in those of a process that is in the cgroup.

/proc/PID/mountinfo (proc_pid_mountinfo(5); since Linux 2.6.26) says where a hierarchy is mounted, and, in the fourth
field, which part of it: in a container that is often the container's own cgroup alone:

    35 31 0:32 /docker/4ea2 /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory

That part is told from the root of the reader's cgroup namespace, as are the paths of /proc/PID/cgroup. A path that no
mount of the reader shows is looked for among those of the process itself, through /proc/PID/root; what is found is
checked to be of the hierarchy's device, so that nothing else can be put in its place. Mounts of the reader are read
once. Cost: 6 us a directory, and 100 us where the mounts of the process are asked.
"""

from __future__ import annotations

import contextlib
import os
import re
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, ProbeError
from perfwatch.probes.readers import proc
from perfwatch.probes.readers.mapped_file import look_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from perfwatch.probes.readers.cgroups import Seat

_MOUNT_BYTES: Final = 1 << 18
_MAX_FOREIGN: Final = 64
_FILE_SYSTEMS: Final = {"cgroup", "cgroup2"}
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


class Mount(msgspec.Struct, frozen=True):
    """One mounted cgroup hierarchy, or a part of one."""

    version: Literal[1, 2]
    controllers: frozenset[str]
    """Of v1; empty for v2."""
    device: int
    """`st_dev` of all that lies in it."""
    root: str
    point: str


class Hierarchies:
    """Finds the directories of cgroups."""

    def __init__(self) -> None:
        self._own = _mounts("self", parse_mounts)
        self._others: dict[int, tuple[Mount, ...]] = {}

    def __bool__(self) -> bool:
        """Whether any hierarchy is mounted here."""
        return bool(self._own)

    @property
    def unified(self) -> bool:
        """Whether the v2 hierarchy is mounted here."""
        return any(mount.version == 2 for mount in self._own)  # noqa: PLR2004

    def begin(self) -> None:
        """Begin a reading: the mounts of other processes are asked once in each."""
        self._others.clear()

    @contextlib.contextmanager
    def directory(self, controller: str, seat: Seat, pid: int) -> Iterator[int | None]:
        """Open the directory of a cgroup that a process is in or below; None where it cannot be seen."""
        file = self._open(controller, seat, pid)
        try:
            yield file
        finally:
            if file is not None:
                os.close(file)

    def _open(self, controller: str, seat: Seat, pid: int) -> int | None:
        for mount, rest in _showing(self._own, controller, seat):
            if (file := _opened(mount, rest)) is not None:
                return file
        if pid not in self._others:
            self._others[pid] = _mounts(str(pid), parse_foreign_mounts)
        for mount, rest in _showing(self._others[pid], controller, seat):
            if (file := _opened(mount, rest, roots.PROC / str(pid) / "root")) is not None:
                return file
        return None


def parse_mounts(raw: bytes) -> tuple[Mount, ...]:
    """Return the cgroup mounts of a mountinfo."""
    return tuple(_mount(fields, kind) for fields, kind in _entries(raw) if kind[0] in _FILE_SYSTEMS)


def parse_foreign_mounts(raw: bytes) -> tuple[Mount, ...]:
    """Return the first 64 cgroup mounts of somebody else's mountinfo, but for those that are not what they seem.

    A look-up below FUSE could be kept waiting for as long as its user likes, as could the opening of what was mounted
    over a cgroup's file.
    """
    entries = list(_entries(raw))
    points = [_unescaped(fields[4]) for fields, _ in entries]
    served = [point for point, (_, kind) in zip(points, entries, strict=True) if kind[0].startswith("fuse")]
    cgroups = ((place, _mount(*entry)) for place, entry in enumerate(entries) if entry[1][0] in _FILE_SYSTEMS)
    return tuple(
        mount
        for place, mount in islice(cgroups, _MAX_FOREIGN)
        if all(below(mount.point, point) is None for point in served)
        and all(below(point, mount.point) is None for point in points[place + 1 :])
    )


def below(path: str, root: str) -> str | None:
    """Return what follows `root` in a path, without a leading slash; None where it is not at or below it.

    Steps upwards are never followed: where they lead has no name here.
    """
    root = root.rstrip("/")
    if path != root and not path.startswith(root + "/"):
        return None
    rest = path[len(root) :].strip("/")
    return None if ".." in rest.split("/") else rest


def _mounts(process: str, parse: Callable[[bytes], tuple[Mount, ...]]) -> tuple[Mount, ...]:
    """Return the cgroup mounts that a process sees; none where it may not be asked."""
    try:
        return parse(proc.read(roots.PROC / process / "mountinfo", _MOUNT_BYTES))
    except (ProbeError, OSError):
        return ()


def _entries(raw: bytes) -> Iterator[tuple[list[str], list[str]]]:
    """Yield each mount's fields before and after the dash; skip a last line that was cut."""
    for line in os.fsdecode(raw).split("\n"):
        fields, _, kind = (part.split(" ") for part in line.partition(" - "))
        if len(fields) > 4 and len(kind) > 2:  # noqa: PLR2004 - the mount point is the fifth, the options the third
            yield fields, kind


def _mount(fields: list[str], kind: list[str]) -> Mount:
    root, point = _unescaped(fields[3]), _unescaped(fields[4])
    if kind[0] == "cgroup2":
        return Mount(2, frozenset(), _device(fields[2]), root, point)
    return Mount(1, frozenset(kind[2].split(",")), _device(fields[2]), root, point)


def _showing(mounts: Iterable[Mount], controller: str, seat: Seat) -> Iterator[tuple[Mount, str]]:
    """Yield the mounts that show a cgroup, each with the path below its mount point."""
    for mount in mounts:
        fits = mount.version == seat.version and (mount.version == 2 or controller in mount.controllers)  # noqa: PLR2004
        if fits and (rest := below(seat.path, mount.root)) is not None:
            yield mount, rest


def _opened(mount: Mount, rest: str, root: Path | None = None) -> int | None:
    """Open a directory if it is of the mount's device: it is not, where something was mounted over it.

    Below the root of another process no symbolic link is followed.
    """
    path = f"{mount.point}/{rest}"
    try:
        if root is not None:
            file = look_below(root, os.fsencode(path))
        else:
            file = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    if os.fstat(file).st_dev == mount.device:
        return file
    os.close(file)
    return None


def _device(text: str) -> int:
    major, _, minor = text.partition(":")
    try:
        return os.makedev(int(major), int(minor))
    except (ValueError, OverflowError):
        raise Malformed(f"mountinfo holds the device {text[:40]!r}") from None


def _unescaped(text: str) -> str:
    """Undo the octal escapes of mountinfo: a space is `040` after a backslash."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
