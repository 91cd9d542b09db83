"""Opens the file that another process has mapped, without trust in that process.

First by `/proc/PID/map_files`, which is the mapped file itself, also if it was deleted; it needs CAP_SYS_ADMIN or
CAP_CHECKPOINT_RESTORE. Else by name below `/proc/PID/root`. What lies there may be the process's choice: a link to
elsewhere, a FIFO on which open() hangs, a device that acts when opened. So a file is first only looked at (O_PATH), and
opened when it is known to be a regular one. Source: proc(5), open(2).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_LOOK: Final = os.O_PATH | os.O_CLOEXEC
# Non-blocking also for the sake of a lease (fcntl(2)) on the file, whose holder could delay open() for 45 s.
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MAX_DEPTH: Final = 64
_MAX_FILE_BYTES: Final = 256 << 20


def open_mapped(proc: Path, pid: int, map_range: str, path: bytes) -> int:
    """Return a descriptor, for reading, of the file at a range (`55d0c8a00000-55d0c8a4f000`) of a process's memory.

    Raises OSError, also if it is not a regular file of at most 256 MiB.
    """
    process = proc / str(pid)
    try:
        seen = os.open(process / "map_files" / map_range, _LOOK)
    except OSError:
        seen = look_below(process / "root", path)
    try:
        status = os.fstat(seen)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_FILE_BYTES:
            raise OSError(errno.EINVAL, "not a regular file of a fair size")
        return os.open(proc / "self" / "fd" / str(seen), _READ)
    finally:
        os.close(seen)


def look_below(root: Path, path: bytes) -> int:
    """Return an O_PATH descriptor of a path below a directory; no symbolic link is followed.

    The kernel names a mapping by its resolved path, so a link or `..` in it means that the file is another now.
    """
    names = [name for name in path.split(b"/") if name]
    if len(names) > _MAX_DEPTH or b".." in names:
        raise OSError(errno.ELOOP, "not a path that the kernel gave")
    place = os.open(root, _LOOK | os.O_DIRECTORY)
    for name in names:
        try:
            inner = os.open(name, _LOOK | os.O_NOFOLLOW, dir_fd=place)
        finally:
            os.close(place)
        place = inner
    return place
