"""The directory that the service records into: 0700, of one service at a time, and what is in it.

A segment is a session file with its siblings of SQLite and its bookmarks. One that has bookmarks is kept for good: the
recorder sets one where something was worth it, and whoever looks at it may set or remove them. Who changes what is in
the directory holds a lock on it meanwhile, so that sizes can be relied on; whoever only reads needs none.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent import bookmarks
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session import lock, place

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX: Final = ".perfwatch"
_LOCK_NAME: Final = ".service"
_BLOCK_BYTES: Final = 512
"""The unit of `st_blocks`, whatever the file system's."""
_ABANDONED_S: Final = 60.0
"""A draft of a file that is so old belongs to nobody any more: its writer was killed."""
_AWAITED_S: Final = 10.0
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Segment(msgspec.Struct, frozen=True, order=True):
    """One of the session files; in order of their ends."""

    ended_s: float
    """When it was last written to: Unix seconds."""
    path: Path
    size_bytes: int
    """Its blocks, and those of its siblings."""

    @property
    def is_live(self) -> bool:
        """Whether a recorder is writing to it."""
        return lock.is_locked(self.path)

    @property
    def is_kept(self) -> bool:
        """Whether it has bookmarks; also where that cannot be told."""
        try:
            return bool(bookmarks.Bookmarks(self.path).all)
        except PerfwatchError:
            return True


class Contents(msgspec.Struct, frozen=True):
    """What is in the directory at one moment."""

    segments: tuple[Segment, ...]
    """The oldest first."""
    drafts: tuple[Path, ...]
    """What was left of files that were being made when their process was killed."""
    total_bytes: int
    """Blocks of everything."""


class Directory:
    """Made once for each process; raises PerfwatchError where it is not safe to record into."""

    def __init__(self, path: Path) -> None:
        self.path = _made(path)
        self._fd = os.open(self.path, _DIRECTORY)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._fd)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only service that records into it; the file that is locked says its PID, for who would signal it."""
        try:
            fd = os.open(_LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._fd)
        except OSError as error:
            raise PerfwatchError(f"cannot record into {self.path}: {error.strerror}", "choose another --dir") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(OSError):  # a full disk is no reason not to begin
                os.truncate(fd, 0)
                os.write(fd, f"{os.getpid()}\n".encode())
            yield
        except BlockingIOError:
            raise PerfwatchError(
                f"another perfwatch service records into {self.path}", "choose another --dir"
            ) from None
        finally:
            os.close(fd)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process that changes what is in it; waits for a second at most where several record."""
        give_up = time.monotonic() + _AWAITED_S
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > give_up:
                raise PerfwatchError(f"{self.path} is locked by another process for {_AWAITED_S:g} s", None)
            time.sleep(0.005)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def free_bytes(self) -> int:
        """Return what the disk has left for this process."""
        found = os.fstatvfs(self._fd)
        return (found.f_bfree if os.geteuid() == 0 else found.f_bavail) * found.f_frsize

    def contents(self) -> Contents:
        """Look at every file; about 10 us each."""
        found: dict[str, os.stat_result] = {}
        with os.scandir(self._fd) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    found[entry.name] = entry.stat(follow_symlinks=False)
        segments = (self._segment(name, found) for name in found if name.endswith(SUFFIX) and not name.startswith("."))
        old_s = time.time() - _ABANDONED_S
        drafts = (name for name, file in found.items() if name.startswith(place.DRAFT) and file.st_mtime < old_s)
        left = tuple(self.path / name for name in drafts)
        return Contents(tuple(sorted(filter(None, segments))), left, sum(map(_size, found.values())))

    def _segment(self, name: str, found: dict[str, os.stat_result]) -> Segment | None:
        parts = [found[each] for each in _family(name) if each in found]
        if not stat.S_ISREG(found[name].st_mode):
            return None
        return Segment(max(part.st_mtime for part in parts), self.path / name, sum(map(_size, parts)))


def remove(segment: Segment) -> None:
    """Remove a segment, its own file last: whenever this process is killed, no sibling is left without it."""
    for name in reversed(_family(segment.path.name)):
        segment.path.with_name(name).unlink(missing_ok=True)


def _made(path: Path) -> Path:
    """Make the directory unless it is there, 0700, and be sure that nobody else can meddle with it."""
    with suppress(FileExistsError, FileNotFoundError):
        path.mkdir(mode=0o700)
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise PerfwatchError(f"cannot record into {path}: {error.strerror}", "make the directory above it") from None
    if not stat.S_ISDIR(mode):
        raise PerfwatchError(f"{path} is not a directory", "name another with --dir; no link is followed")
    return place.settle(path / "segment").parent


def _family(name: str) -> tuple[str, ...]:
    return (name, *(name + suffix for suffix in (*place.SIBLINGS, bookmarks.SUFFIX)))


def _size(found: os.stat_result) -> int:
    return found.st_blocks * _BLOCK_BYTES
