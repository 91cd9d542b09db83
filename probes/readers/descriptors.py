"""The open descriptors of a process: which are sockets, and which number each has.

    $ readlink /proc/4312/fd/5
    socket:[81234]

A descriptor's link is only read, never followed: following it could wait for a file server. Needs to be the process's
user, or root (the check is that of ptrace(2)). Source: proc(5). Cost: 4 us a descriptor.
"""

from __future__ import annotations

import errno
import os
from itertools import islice
from typing import TYPE_CHECKING, Final

from perfwatch.probes import roots
from perfwatch.probes.readers.proc import translated

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

MAX_DESCRIPTORS: Final = 65_536
"""So many of one process are looked at; the kernel lists them in order."""
_SOCKET: Final = b"socket:["
_INODE_DIGITS: Final = 20
_NOTHING_TO_SAY: Final = {errno.ENOENT, errno.ENAMETOOLONG}


def sockets_of(pid: int) -> dict[int, int]:
    """Return the sockets of a process: inode -> lowest descriptor. Raises Vanished or Unavailable."""
    found: dict[int, int] = {}
    for number, link in links_of(pid):
        inode = parse_socket(link)
        if inode is not None:
            found.setdefault(inode, number)
    return found


def links_of(pid: int, but: Container[int] = ()) -> Iterator[tuple[int, bytes]]:
    """Yield each descriptor of a process, in order, with what it leads to; those in `but` are not looked at.

    One that is closed meanwhile is left out, and one whose path is too long for the kernel to say (4,096 bytes).
    Raises Vanished or Unavailable, as soon as it is iterated.
    """
    path = roots.PROC / str(pid) / "fd"
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise translated(error, path) from None
    try:
        for number in _numbers(directory):
            if number in but:
                continue
            try:
                yield number, os.readlink(b"%d" % number, dir_fd=directory)
            except OSError as error:
                if error.errno not in _NOTHING_TO_SAY:
                    raise
    except OSError as error:
        raise translated(error, path) from None
    finally:
        os.close(directory)


def link_of(pid: int, number: int) -> bytes:
    """Return what one descriptor leads to: `socket:[81234]`, `pipe:[7]`, a path. Raises Vanished or Unavailable."""
    path = roots.PROC / str(pid) / "fd" / str(number)
    try:
        return os.fsencode(path.readlink())
    except OSError as error:
        raise translated(error, path) from None


def parse_socket(link: bytes) -> int | None:
    """Return the inode of a descriptor that is a socket (`socket:[81234]`); None for any other."""
    number = link[len(_SOCKET) : -1]
    if not (link.startswith(_SOCKET) and link.endswith(b"]") and number.isdigit() and len(number) <= _INODE_DIGITS):
        return None
    return int(number)


def _numbers(directory: int) -> list[int]:
    with os.scandir(directory) as entries:
        return [int(entry.name) for entry in islice(entries, MAX_DESCRIPTORS)]
