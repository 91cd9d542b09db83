"""The network namespace of another process: sockets made inside `network_of` belong to it.

Only the calling thread moves, and it always comes back. Entering needs CAP_SYS_ADMIN; a target in this namespace needs
nothing.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from perfwatch.probes import roots
from perfwatch.probes.errors import Unavailable
from perfwatch.probes.readers.proc import translated

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET: Final = 0x40000000


@contextmanager
def network_of(pid: int) -> Iterator[None]:
    """Be in the network namespace of a process; raises Vanished or Unavailable."""
    theirs_path, own_path = roots.PROC / str(pid) / "ns" / "net", roots.PROC / "thread-self" / "ns" / "net"
    try:
        theirs = os.open(theirs_path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise translated(error, theirs_path) from None
    try:
        own = os.open(own_path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.path.sameopenfile(theirs, own):
                yield
                return
            _enter(theirs)
            try:
                yield
            finally:
                _enter(own)
        finally:
            os.close(own)
    finally:
        os.close(theirs)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise Unavailable(
            f"the target's network namespace may not be entered ({os.strerror(ctypes.get_errno())})",
            "run perfwatch as root (CAP_SYS_ADMIN)",
        )


_libc: Final = ctypes.CDLL(None, use_errno=True)
