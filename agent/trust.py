"""What may be trusted of files: some users could do anyway as perfwatch does; what anybody can have made is bounded."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def caller(environ: Mapping[str, str]) -> int | None:
    """Return the user who called sudo, where perfwatch runs as root."""
    told = environ.get("SUDO_UID", "")
    return int(told) if os.geteuid() == 0 and told.isdecimal() else None


def trusted(environ: Mapping[str, str]) -> set[int]:
    """Root, this user, and who called sudo: each could do as this process does anyway."""
    mine, called = {0, os.geteuid()}, caller(environ)
    return mine if called is None else mine | {called}


def read_small(path: Path, most_bytes: int) -> tuple[bytes, os.stat_result] | None:
    """Read a file and what it is; None where it is no regular file of so many bytes; raises OSError, for a link too."""
    fd = os.open(path, _READ)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most_bytes:
            return None
        with os.fdopen(fd, "rb", closefd=False) as file:
            return file.read(most_bytes), found
    finally:
        os.close(fd)
