"""What the files of a cgroup say, of either version, and how such files are read: a number, `max`, or keys and values.

Content that is not as the kernel documents it raises Malformed; unknown keys are skipped; a file that is not there,
not permitted or switched off is None.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

import msgspec

from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.readers.proc import read_open

MICROSECOND_NS: Final = 1000
_FILE_BYTES: Final = 1 << 18
# Non-blocking: in a container's own mount namespace a FIFO may have been mounted over the file.
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_DIGITS: Final = 19
_NOT_TO_BE_HAD: Final = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EACCES,
    errno.EPERM,
    errno.ENODEV,  # the cgroup was removed
    errno.EOPNOTSUPP,  # switched off, as PSI may be
    errno.EINVAL,
    errno.ELOOP,  # a link, or
    errno.ESPIPE,  # a FIFO: not the kernel's file
}


class CpuFigures(msgspec.Struct, frozen=True):
    """The CPU controller's."""

    quota_ns: int | None = None
    period_ns: int | None = None
    periods: int | None = None
    throttled_periods: int | None = None
    throttled_ns: int | None = None


class MemoryFigures(msgspec.Struct, frozen=True):
    """The memory controller's."""

    used_bytes: int | None = None
    limit_bytes: int | None = None
    limit_hits: int | None = None
    oom_kills: int | None = None


class IoFigures(msgspec.Struct, frozen=True):
    """The block I/O controller's, over all devices."""

    read_bytes: int | None = None
    written_bytes: int | None = None


class PidFigures(msgspec.Struct, frozen=True):
    """The process number controller's."""

    count: int | None = None
    limit: int | None = None


def content(directory: int, name: str) -> bytes | None:
    """Read a file of a cgroup; None where it cannot be had: the controller is not there, or its cgroup has gone."""
    try:
        file = os.open(name, _READ, dir_fd=directory)
        try:
            return read_open(file, Path(name), _FILE_BYTES)
        finally:
            os.close(file)
    except (Vanished, Unavailable):
        return None
    except OSError as error:
        if error.errno in _NOT_TO_BE_HAD:
            return None
        raise


def number(directory: int, name: str) -> int | None:
    """Read a file that holds one number; `max` is None, as is a file that cannot be had."""
    raw = content(directory, name)
    return None if raw is None else parse_number(raw.strip())


def keyed(directory: int, name: str) -> dict[bytes, int]:
    """Read a file of lines `key value`; empty where it cannot be had."""
    return parse_keyed(content(directory, name) or b"")


def parse_number(raw: bytes) -> int | None:
    """Parse a decimal number, or `max`: None."""
    if raw == b"max":
        return None
    if not is_count(raw.removeprefix(b"-")):
        raise Malformed(f"a cgroup's file holds {raw[:40]!r}, not a number")
    return int(raw)


def parse_keyed(raw: bytes) -> dict[bytes, int]:
    """Parse lines `key value`; lines of another shape, and values that are no number, are skipped."""
    pairs = (line.split() for line in raw.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and is_count(pair[1])}  # noqa: PLR2004


def is_count(raw: bytes) -> bool:
    """Tell a counter, which fits into 64 bits, from what the kernel would not write."""
    return raw.isdigit() and len(raw) <= _DIGITS


def scaled(value: int | None, factor: int) -> int | None:
    """Multiply what is known."""
    return None if value is None else value * factor
