"""Which file system and block device a process's files are on, by /proc/PID/mountinfo and /proc/PID/fdinfo.

`27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard`: number of the mount, its parent, device, root within
the file system, mount point as the process sees it, options, optional fields, ` - `, type, source, options of the file
system (Linux 2.6.26). No path is looked up, opened or asked for anything: on a dead network file system that would
hang. What the kernel says of a descriptor, it says from memory.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.readers.descriptors import links_of
from perfwatch.probes.readers.proc import read, text, translated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_DESCRIPTORS: Final = 4096
MAX_PATHS: Final = 512
MAX_FDINFO_BYTES: Final = 4096
_ESCAPED: Final = re.compile(rb"\\([0-7]{3})")
_KERNELS_OWN: Final = {
    "proc",
    "sysfs",
    "devtmpfs",
    "devpts",
    "cgroup",
    "cgroup2",
    "tracefs",
    "debugfs",
    "bpf",
    "mqueue",
}
_NAMED_DEVICE: Final = re.compile(r"/dev/(?:[^/]+/)?([^/:]+)")
"""`/dev/sda1`, `/dev/mapper/root`, and the first of `/dev/sda:/dev/sdb`."""


class Mount(NamedTuple):
    """One line of mountinfo."""

    number: int
    major: int
    minor: int
    point: str
    file_system: str
    source: str
    upper: str | None
    """Of an overlay: the directory that takes what is written, as the process that mounted it saw it."""


class OpenFile(NamedTuple):
    """A path that a process has open, or its working directory."""

    path: str
    mount: Mount
    is_written: bool


def parse_mountinfo(raw: bytes) -> dict[int, Mount]:
    """Return the mounts of a process by their number, in the order of the file."""
    mounts = {}
    for line in raw.split(b"\n")[:-1]:  # a carriage return is no end of a line, but may stand in a path
        fields = line.split(b" ")
        try:
            after = fields.index(b"-", 6)
            number = int(fields[0])
            major, _, minor = fields[2].partition(b":")
            mounts[number] = Mount(
                number=number,
                major=int(major),
                minor=int(minor),
                point=text(_unescaped(fields[4])),
                file_system=text(_unescaped(fields[after + 1])),
                source=text(_unescaped(fields[after + 2])),
                upper=_upper(fields[after + 3]),
            )
        except (ValueError, IndexError):
            raise Malformed(f"unknown form of mountinfo: {line[:200]!r}") from None
    return mounts


def parse_fdinfo(raw: bytes) -> tuple[int, int] | None:
    r"""Return the open(2) flags and the number of the mount: `flags:\t0100001`, in octal, and `mnt_id:\t27`."""
    found = dict(line.split(b":\t", 1) for line in raw.splitlines()[:4] if b":\t" in line)
    try:
        return int(found[b"flags"], 8), int(found[b"mnt_id"])
    except (KeyError, ValueError):
        return None


def mount_of(path: str, mounts: dict[int, Mount]) -> Mount | None:
    """Find the mount that a path lies on, by its name: the deepest mount point, of several the last mounted."""
    best = None
    for mount in mounts.values():
        inside = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if inside and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def mounts_of(pid: int, known: dict[tuple[str, str], dict[int, Mount]]) -> dict[int, Mount]:
    """Return the mounts that a process sees, from `known` where one with the same namespace and root was read before.

    Raises Vanished or Unavailable. Cost: 5 us a mount.
    """
    directory = roots.PROC / str(pid)
    place = (_link(directory / "ns" / "mnt"), _link(directory / "root"))
    if place not in known:
        known[place] = parse_mountinfo(read(directory / "mountinfo"))
    return known[place]


def host_mounts() -> dict[int, Mount]:
    """Return the mounts of the first process that is visible here; none where it is hidden."""
    with suppress(Vanished, Unavailable):
        return parse_mountinfo(read(roots.PROC / "1" / "mountinfo"))
    return {}


def open_files(pid: int, mounts: dict[int, Mount]) -> Iterator[OpenFile]:
    """Give the files that a process has open, and its working directory.

    The first 4,096 descriptors are looked at, and of those that have a path 512. `mounts` are those of the process's
    mount namespace and root; the kernel's own file systems are left out. Raises Vanished or Unavailable. Cost: 5 us a
    descriptor, 20 us a file.
    """
    directory = roots.PROC / str(pid)
    paths = ((number, link) for number, link in islice(links_of(pid), MAX_DESCRIPTORS) if link.startswith(b"/"))
    for number, link in islice(paths, MAX_PATHS):
        with suppress(Vanished):  # closed meanwhile
            file = _open_file(directory, number, text(link), mounts)
            if file and _is_stored(file.mount):
                yield file
    with suppress(Unavailable):
        path = _link(directory / "cwd")
        mount = mount_of(path, mounts)
        if mount and _is_stored(mount):
            yield OpenFile(path, mount, is_written=False)


def device_name(mount: Mount, names: dict[tuple[int, int], str], host: dict[int, Mount]) -> str:
    """Name the device of a mount: by its number, or by what is behind it where the file system has a number of its own.

    `names` are those of /proc/diskstats, `host` the mounts of the host, where the container engine made its overlays.
    What is on no block device is `MAJOR:MINOR`.
    """
    name = names.get((mount.major, mount.minor))
    if name is None and mount.file_system in {"btrfs", "bcachefs"}:
        found = _NAMED_DEVICE.match(mount.source)
        name = found[1] if found and found[1] in names.values() else None
    if name is None and mount.upper and (below := mount_of(mount.upper, host)):
        name = names.get((below.major, below.minor))
    return name or f"{mount.major}:{mount.minor}"


def _open_file(directory: Path, number: int, path: str, mounts: dict[int, Mount]) -> OpenFile | None:
    """Look at one descriptor; None for directories, and for a mount that is not in the process's namespace (memfd)."""
    found = parse_fdinfo(read(directory / "fdinfo" / str(number), MAX_FDINFO_BYTES))
    if found is None:
        return None
    flags, mount_number = found
    mount = mounts.get(mount_number)
    if mount is None or flags & os.O_DIRECTORY:
        return None
    return OpenFile(path, mount, is_written=flags & os.O_ACCMODE != os.O_RDONLY)


def _link(path: Path) -> str:
    try:
        return text(os.fsencode(path.readlink()))
    except OSError as error:
        raise translated(error, path) from None


def _is_stored(mount: Mount) -> bool:
    """Whether files can lie there: no file system of the kernel's own, no /dev of a container."""
    return mount.file_system not in _KERNELS_OWN and not (mount.file_system == "tmpfs" and mount.point == "/dev")


def _upper(options: bytes) -> str | None:
    """Find `upperdir=/var/lib/docker/overlay2/5e0c/diff` among the options of a file system."""
    for option in options.split(b","):
        if option.startswith(b"upperdir=/"):
            return text(_unescaped(option.removeprefix(b"upperdir=")))
    return None


def _unescaped(field: bytes) -> bytes:
    r"""Resolve the kernel's `\040` for a blank."""
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 8) & 0xFF]), field)
