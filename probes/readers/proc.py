"""Bounded reading below /proc: errors are told once, here, as `Vanished` or `Unavailable`.

Everything below /proc/PID can end between two calls, be hidden (`hidepid`), or be refused: `read` says which.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from perfwatch.probes import roots
from perfwatch.probes.errors import Unavailable, Vanished

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 4 << 20
_GONE: Final = {errno.ENOENT, errno.ESRCH, errno.ENOTDIR}
_REFUSED: Final = {errno.EACCES, errno.EPERM}


def read(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return the content of a kernel file, at most `limit` bytes of it.

    Raises Vanished where it is not there (any more), Unavailable where this user may not read it. Other errors of
    the kernel pass as OSError.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise translated(error, path) from None
    try:
        return read_open(file, path, limit)
    finally:
        os.close(file)


def read_open(file: int, path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return the content of a descriptor that is kept open, from its start; raises as `read`."""
    parts: list[bytes] = []
    size = 0
    try:
        while size < limit and (part := os.pread(file, min(limit - size, 1 << 16), size)):
            parts.append(part)
            size += len(part)
    except OSError as error:
        raise translated(error, path) from None
    return b"".join(parts)


def translated(error: OSError, path: Path) -> Exception:
    """Say what an error of the kernel means for a file below /proc."""
    if error.errno in _GONE:
        return Vanished(f"{path} is not there")
    if error.errno in _REFUSED:
        return Unavailable(f"{path} may not be read by this user", "run perfwatch as root, or as the target's user")
    if error.errno == errno.ENAMETOOLONG:
        return Unavailable(f"{path} leads to a path that is too long for the kernel to say", "use shorter paths")
    return error


def processes() -> list[int]:
    """Return the PIDs that are visible to this user, in order."""
    return sorted(int(entry.name) for entry in roots.PROC.iterdir() if entry.name.isdigit())


def text(raw: bytes) -> str:
    """Decode what the kernel gave; what is not UTF-8 becomes U+FFFD."""
    return raw.decode(errors="replace")
