"""The files of single threads below /proc/PID/task, kept open and read again with pread: half the cost of opening.

`stat`, `schedstat`, `status` may be read by all; `syscall` and `wchan` need ptrace(2) rights. What they say: see
thread_formats.py. Cost of a reading, in us (kernel 6.18): schedstat 0.9, wchan 1.7, syscall 1.9, stat 3.0, status 7.0;
4 more where the file is opened for it. A thread that has not run since its last reading has the same `schedstat`: then
nothing else of it needs reading, but for whether it has become runnable.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from typing import TYPE_CHECKING, Final

from perfwatch.probes import roots
from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.readers.proc import translated
from perfwatch.probes.readers.thread_formats import READ_BYTES

if TYPE_CHECKING:
    from pathlib import Path

MAX_THREADS: Final = 1024
"""Of one process so many are looked at."""
PART: Final = 0.3
"""Of the descriptors that this process may have, the readers of one probe keep so many; there are two such probes."""
LOWEST: Final = 1024
"""Kept descriptors have no lower number, if the limit allows: select(2), which libraries use, knows those below it."""
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE)


class OpenFiles:
    """How many descriptors the readers of one probe may keep open; they share what the process may have."""

    def __init__(self, most: int | None = None) -> None:
        """By default a part of what RLIMIT_NOFILE allows this process."""
        if most is None:
            most = int(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * PART)
        self._left = most

    def keep(self, file: int) -> int | None:
        """Return the descriptor that is kept in the place of one just opened; None if it is not, and was closed."""
        kept = None
        if self._left > 0:
            kept = _moved_up(file)
            self._left -= kept is not None
        if kept != file:
            os.close(file)
        return kept

    def give_back(self, file: int) -> None:
        """Close one that was kept."""
        os.close(file)
        self._left += 1


def _moved_up(file: int) -> int | None:
    """Return another number for a descriptor; the same where the limit leaves no higher one, None if there is none."""
    try:
        return fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, LOWEST)
    except OSError as error:
        return file if error.errno == errno.EINVAL else None


class ThreadFiles:
    """The files of one thread; each is opened when it is first read, and kept if there is room."""

    __slots__ = ("_files", "_open_files", "path")

    def __init__(self, path: Path, open_files: OpenFiles) -> None:
        """`path` is /proc/PID/task/TID, or /proc/PID for those that both have."""
        self.path = path
        self._open_files = open_files
        self._files: dict[str, int] = {}

    def read(self, name: str) -> bytes:
        """Return the content (at most 4 KiB); raises Vanished if the thread has ended, Unavailable if refused."""
        file = self._files.get(name)
        try:
            if file is not None:
                return os.pread(file, READ_BYTES, 0)
            return self._open_and_read(name)
        except OSError as error:
            raise _translated(error, self.path / name) from None

    def _open_and_read(self, name: str) -> bytes:
        file = self._open(f"{self.path}/{name}")
        try:
            content = os.pread(file, READ_BYTES, 0)
        except OSError:
            os.close(file)
            raise
        if (kept := self._open_files.keep(file)) is not None:
            self._files[name] = kept
        return content

    def _open(self, path: str) -> int:
        """Open a file; where this process has no descriptor left, in the place of those that are kept here."""
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in _EXHAUSTED or not self._files:
                raise
        self.close()
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close what is open."""
        while self._files:
            self._open_files.give_back(self._files.popitem()[1])


class TaskList:
    """The threads of one process. Their number is asked first (1 us); they are listed (0.4 us each) if it changed."""

    def __init__(self, pid: int, open_files: OpenFiles) -> None:
        self._path = roots.PROC / str(pid) / "task"
        self._open_files = open_files
        self._directory: int | None = None
        self._count = 0

    def changed(self) -> bool:
        """Whether there are more or fewer threads than at the last listing; raises Vanished."""
        try:
            return self._links() != self._count
        except OSError as error:
            raise _translated(error, self._path) from None

    def list(self) -> list[int]:
        """Return the thread ids, at most `MAX_THREADS`; raises Vanished or Unavailable."""
        try:
            if self._directory is None:
                file = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                self._directory = self._open_files.keep(file)
            self._count = self._links()
            names = os.listdir(self._path if self._directory is None else self._directory)  # noqa: PTH208 - of a descriptor
        except OSError as error:
            self.close()
            raise _translated(error, self._path) from None
        if not names:  # what a directory shows whose process has ended while it was open
            self.close()
            raise Vanished(f"{self._path} is empty")
        return sorted(int(name) for name in names if name.isdigit())[:MAX_THREADS]

    def _links(self) -> int:
        return (self._path.stat() if self._directory is None else os.fstat(self._directory)).st_nlink

    def close(self) -> None:
        """Close the directory."""
        if self._directory is not None:
            self._open_files.give_back(self._directory)
            self._directory = None


def _translated(error: OSError, path: Path) -> Exception:
    if error.errno in _EXHAUSTED:
        return Unavailable("this process has no file descriptor left", "raise the limit of open files (ulimit -n)")
    return translated(error, path)
