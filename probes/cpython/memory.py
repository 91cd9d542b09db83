"""Reads another process's memory without stopping it: /proc/PID/mem for one place, process_vm_readv(2) for many.

Both need ptrace(2) rights: the same user, and where Yama's ptrace_scope is 1 CAP_SYS_PTRACE; nothing is traced. An
address that comes from that memory may be anything, so any is taken, and what cannot be read is None. Cost: 1.5 us for
one place, 3 us for many and 0.3 us more for each.

The open file stays with the memory that it was opened for: when the process ends or executes another program, it
reads as empty. process_vm_readv reads whatever has that PID, so who uses `read_all` or `read_each` asks `check`
afterwards.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
from typing import TYPE_CHECKING, Final

from perfwatch.probes import roots
from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.readers.proc import translated

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BYTES: Final = 1 << 20
"""Of one call."""
MAX_PLACES: Final = 1024
"""Of one call: the kernel's IOV_MAX."""
_USER_SPACE_END: Final = 1 << 47
_NOWHERE: Final = 1
"""Nothing is mapped there, and to be told so costs least."""
_WORD: Final = struct.Struct("<Q")
_PLACE: Final = struct.Struct("<QQ")


class Memory:
    """The memory of one program in one process; to be closed.

    Its methods raise Vanished if the process has ended or executes another program, Unavailable if it may not be read.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        path = roots.PROC / str(pid) / "mem"
        try:
            self._file: int | None = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise translated(error, path) from None
        self._buffer: ctypes.Array[ctypes.c_char] | None = None
        self._view = memoryview(b"")

    def close(self) -> None:
        """Close it; may be called again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def check(self) -> None:
        """Raise Vanished if the process has another memory by now: what `read_each` read may be of that."""
        self.read(_NOWHERE, 1)

    def read(self, address: int, size: int) -> bytes | None:
        """Return what lies at an address; None if not all of it is mapped, or it is more than `MAX_BYTES`."""
        if self._file is None or not (0 < address < _USER_SPACE_END and 0 < size <= MAX_BYTES):
            return None
        try:
            data = os.pread(self._file, size, address)
        except OSError:
            return None
        if not data:
            raise Vanished(f"process {self.pid} has ended, or executes another program")
        return data if len(data) == size else None

    def word(self, address: int) -> int | None:
        """Return the unsigned 64 bits at an address."""
        data = self.read(address, _WORD.size)
        return None if data is None else int(_WORD.unpack(data)[0])

    def text(self, address: int, limit: int) -> str:
        """Return a C string, at most `limit` bytes of it; empty if there is none."""
        data = self.read(address, limit)
        if data is None:  # it may stand at the end of what is mapped
            room = -address % mmap.PAGESIZE
            data = self.read(address, min(room, limit)) if room else None
        return (data or b"").partition(b"\0")[0].decode(errors="replace")

    def read_each(self, places: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """Return what lies at each (address, size)."""
        return self.read_all([Places([place]) for place in places])

    def read_all(self, wanted: Sequence[Places]) -> list[bytes | None]:
        """Return what lies at each of these places, one after the other; None for those that cannot all be read.

        One call, if all of them can be, and they are few enough.
        """
        found: list[bytes | None] = []
        while len(found) < len(wanted):
            batch = _batch(wanted, len(found))
            found += self._read_batch(batch) or (None,)
        return found

    def _read_batch(self, batch: Sequence[Places]) -> list[bytes | None]:
        """Read places by one call; ends before the first that cannot be read."""
        if not batch:
            return []
        size = sum(places.size for places in batch)
        buffer = self._room(size)
        local = _PLACE.pack(ctypes.addressof(buffer), size)
        remote = b"".join([places.packed for places in batch])
        read: int = _process_vm_readv(self.pid, local, 1, remote, len(remote) // _PLACE.size, 0)
        if read < 0:
            self._explain(ctypes.get_errno())
            return []
        found: list[bytes | None] = []
        at = 0
        for places in batch:
            if at + places.size > read:
                break
            found.append(self._view[at : at + places.size].tobytes())
            at += places.size
        return found

    def _room(self, size: int) -> ctypes.Array[ctypes.c_char]:
        """Return the buffer that is read to, grown if need be."""
        if self._buffer is None or len(self._buffer) < size:
            self._buffer = ctypes.create_string_buffer(size)
            self._view = memoryview(self._buffer).cast("B")
        return self._buffer

    def _explain(self, error: int) -> None:
        """Raise what an error says of the whole process, if it does."""
        if error == errno.ESRCH:
            raise Vanished(f"process {self.pid} has ended")
        if error in {errno.EPERM, errno.ENOSYS}:
            raise Unavailable(
                f"the memory of process {self.pid} may not be read ({os.strerror(error)})",
                "run perfwatch as the target's user, or as root (CAP_SYS_PTRACE)",
            )


class Places:
    """Some places of a memory that are read by one call, also again and again; see `Memory.read_all`."""

    __slots__ = ("packed", "size")

    def __init__(self, places: Sequence[tuple[int, int]]) -> None:
        """Give (address, size) of each; what no memory has, or is too much for one call, has size 0."""
        size = sum(size for _, size in places)
        can_be = len(places) <= MAX_PLACES and size <= MAX_BYTES
        can_be = can_be and all(0 < address < _USER_SPACE_END and size > 0 for address, size in places)
        self.size = size if can_be else 0
        self.packed = b"".join([_PLACE.pack(*place) for place in places]) if can_be else b""

    @classmethod
    def joined(cls, parts: Sequence[Places]) -> Places:
        """Return the places of all parts, in that order, as one."""
        joined = cls([])
        size, packed = sum(part.size for part in parts), b"".join([part.packed for part in parts])
        if size <= MAX_BYTES and len(packed) <= MAX_PLACES * _PLACE.size and all(part.size for part in parts):
            joined.size, joined.packed = size, packed
        return joined


def _batch(wanted: Sequence[Places], start: int) -> Sequence[Places]:
    """Return as many as one call takes; none if the first cannot be."""
    count = size = 0
    for end in range(start, len(wanted)):
        count += len(wanted[end].packed) // _PLACE.size
        size += wanted[end].size
        if not wanted[end].size or count > MAX_PLACES or size > MAX_BYTES:
            return wanted[start:end]
    return wanted[start:]


_process_vm_readv: Final = ctypes.CDLL(None, use_errno=True).process_vm_readv
_process_vm_readv.restype = ctypes.c_ssize_t
_process_vm_readv.argtypes = [
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_ulong,
]
