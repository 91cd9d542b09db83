"""Which cgroups a process is in, v1, v2 and both at once, and which are above them.

/proc/PID/cgroup (cgroups(7); since Linux 2.6.24) has one line a hierarchy, with the controllers of a v1 hierarchy, or
none for v2:

    4:memory:/system.slice/shop.service
    0::/system.slice/shop.service

Paths begin at the root of the reader's cgroup namespace (cgroup_namespaces(7)); what lies outside of that begins with
`/..`. Cost: 12 us a process.
"""

from __future__ import annotations

import contextlib
import os
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.readers import proc
from perfwatch.probes.records import MAX_TARGET_CHARS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CONTROLLERS: Final = ("cpu", "cpuacct", "memory", "blkio", "pids")
"""Those that are read, by their v1 names."""
MAX_PROCESSES: Final = 64
MAX_ANCESTORS: Final = 16
_FILE_BYTES: Final = 1 << 18


class Seat(msgspec.Struct, frozen=True):
    """A cgroup in one hierarchy."""

    version: Literal[1, 2]
    path: str
    """As /proc/PID/cgroup gives it to this reader; undecodable bytes are surrogates, as in file names."""


class Membership(msgspec.Struct, frozen=True):
    """The cgroups that one process is in."""

    v1: tuple[tuple[str, str], ...]
    """(controller, path), for those of `CONTROLLERS` that are on a v1 hierarchy."""
    v2: str | None

    def seat(self, controller: str) -> Seat | None:
        """Return the cgroup that counts for a controller: of v1 where that has it."""
        for name, path in self.v1:
            if name == controller:
                return Seat(1, path)
        return None if self.v2 is None else Seat(2, self.v2)


def parse_membership(raw: bytes) -> Membership:
    """Parse /proc/PID/cgroup; raises Malformed."""
    v1: list[tuple[str, str]] = []
    v2 = None
    for line in os.fsdecode(raw).split("\n"):
        number, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not line:
            continue
        if not colon or not path.startswith("/"):
            raise Malformed(f"/proc/PID/cgroup holds {line[:80]!r}")
        if number == "0" and not controllers:
            v2 = path
        v1 += [(name, path) for name in controllers.split(",") if name in CONTROLLERS]
    return Membership(tuple(sorted(v1)), v2)


def ancestors(path: str) -> Iterator[str]:
    """Yield the paths above a cgroup, the nearest first, at most 16 and none that lies above the reader's own root."""
    parts = path.split("/")
    for end in range(len(parts) - 1, 0, -1)[:MAX_ANCESTORS]:
        if parts[end - 1] == ".." or path == "/":
            return
        yield "/".join(parts[:end]) or "/"


def members(pids: Iterable[int]) -> dict[Membership, int]:
    """Return the distinct memberships of processes (at most 64), each with one that has it."""
    found: dict[bytes, int] = {}
    for pid in islice(pids, MAX_PROCESSES):
        with contextlib.suppress(Vanished, Unavailable):
            found.setdefault(proc.read(roots.PROC / str(pid) / "cgroup", _FILE_BYTES), pid)
    return {parse_membership(raw): pid for raw, pid in found.items()}


def shown(path: str) -> str:
    """Make a path fit to be stored: cgroups are named by whoever runs containers."""
    return proc.text(os.fsencode(path))[:MAX_TARGET_CHARS]
