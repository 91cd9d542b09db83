"""Where the target's files lie, process by process: looked at every 5 s, told when it changed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.readers.filesystems import device_name, host_mounts, mounts_of, open_files
from perfwatch.probes.samples import FilePlace, TargetFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from perfwatch.probes.readers.filesystems import Mount, OpenFile

MAX_FILES: Final = 32
MAX_CHARS: Final = 256
REFRESH_NS: Final = 5_000_000_000
BUDGET_NS: Final = 20_000_000
"""After so long the files that are left are not looked at, and other processes wait for the next reading."""
_PATIENCE: Final = 50
"""A process is left alone for so many times as long as it took: fdinfo lists each lock that it has on a file."""


class FilesOfTree:
    """Remembers where each process's files were."""

    def __init__(self) -> None:
        self._due_ns: dict[int, int] = {}
        self._told: dict[int, tuple[FilePlace, ...]] = {}

    @property
    def devices(self) -> frozenset[str]:
        """The devices of all files that were told."""
        return frozenset(place.device for places in self._told.values() for place in places)

    def read(self, tree: Iterable[int], names: dict[tuple[int, int], str], now_ns: int) -> list[TargetFiles]:
        """Look at the processes that are due, the longest waiting first; `names` are the devices' by number."""
        living = set(tree)
        self._due_ns = {pid: self._due_ns.get(pid, 0) for pid in living}
        self._told = {pid: places for pid, places in self._told.items() if pid in living}
        until_ns = time.perf_counter_ns() + BUDGET_NS
        known: dict[tuple[str, str], dict[int, Mount]] = {}
        host = host_mounts() if any(due_ns <= now_ns for due_ns in self._due_ns.values()) else {}
        records = []
        for pid in sorted(living, key=self._due_ns.__getitem__):
            if self._due_ns[pid] > now_ns or time.perf_counter_ns() > until_ns:
                break
            began_ns = time.perf_counter_ns()
            try:
                places = places_of(_until(until_ns, open_files(pid, mounts_of(pid, known))), names, host)
            except (Vanished, Unavailable):
                continue
            finally:
                self._due_ns[pid] = now_ns + max(REFRESH_NS, (time.perf_counter_ns() - began_ns) * _PATIENCE)
            if places != self._told.get(pid, ()):
                self._told[pid] = places
                records.append(TargetFiles(now_ns, pid, places))
        return records


def _until(until_ns: int, files: Iterable[OpenFile]) -> Iterator[OpenFile]:
    """Give files until a time has come; one that took longer to look at counts."""
    for file in files:
        yield file
        if time.perf_counter_ns() > until_ns:
            break


def places_of(
    files: Iterable[OpenFile], names: dict[tuple[int, int], str], host: dict[int, Mount]
) -> tuple[FilePlace, ...]:
    """Return each path once, at most 32: those that are open for writing first, then by name."""
    written: dict[tuple[str, Mount], bool] = {}
    for file in files:
        key = (file.path, file.mount)
        written[key] = written.get(key, False) or file.is_written
    chosen = sorted(written, key=lambda key: (not written[key], key))[:MAX_FILES]
    return tuple(
        FilePlace(
            path=path[:MAX_CHARS],
            device=device_name(mount, names, host),
            mount_point=mount.point[:MAX_CHARS],
            file_system=mount.file_system[:MAX_CHARS],
            is_written=written[path, mount],
        )
        for path, mount in chosen
    )
