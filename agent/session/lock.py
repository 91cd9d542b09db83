"""How a recorder shows that it lives: an `flock` on FILE-wal, which ends with its process, however it ends.

SQLite itself locks only FILE and FILE-shm, so this lock disturbs nothing, and asking for it does not
either. (It must not be asked of FILE: closing any descriptor of a file drops the POSIX locks that SQLite
holds on it.)
"""

from __future__ import annotations

import fcntl
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def hold(path: Path) -> int:
    """Lock the session at `path`; returns the descriptor that holds the lock."""
    fd = os.open(wal_of(path), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def is_locked(path: Path) -> bool:
    """Whether a recorder is writing to the session at `path` now."""
    try:
        fd = os.open(wal_of(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        os.close(fd)


def wal_of(path: Path) -> Path:
    """Return the sibling that SQLite keeps the newest commits in."""
    return path.with_name(path.name + "-wal")
