"""Reads another process's memory without stopping it: /proc/PID/mem for one place, process_vm_readv(2) for many.

Both need ptrace(2) rights: the same user, and where Yama's ptrace_scope is 1 CAP_SYS_PTRACE; nothing is traced. An
address that comes from that memory may be anything, so any is taken, and what cannot be read is None. Cost: 1.5 us for
one place, 3 us for many and 0.3 us more for each.

The open file stays with the memory that it was opened for: when the process ends or executes another program, it
reads as empty. process_vm_readv reads whatever has that PID, so who uses it asks `check` afterwards.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from itertools import accumulate, pairwise
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

    def read_each(self, places: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """Return what lies at each (address, size): by one call, if all are mapped and they are few enough."""
        found: list[bytes | None] = []
        while len(found) < len(places):
            part = Places(places[len(found) : len(found) + MAX_PLACES])
            found += part.read_until_gap(self.pid) or (None,)
        return found


class Places:
    """Some places of a process's memory that are read by one call, also again and again."""

    __slots__ = ("_buffer", "_ends", "_local", "_remote", "_view", "count", "size")

    def __init__(self, places: Sequence[tuple[int, int]]) -> None:
        fitting = _fitting(places)
        self.count = len(fitting)
        self._ends = list(accumulate((size for _, size in fitting), initial=0))
        self.size = self._ends[-1] if self.count == len(places) else 0
        self._buffer = ctypes.create_string_buffer(max(self._ends[-1], 1))
        self._view = memoryview(self._buffer).cast("B")
        self._local = ctypes.create_string_buffer(_PLACE.pack(ctypes.addressof(self._buffer), self._ends[-1]))
        self._remote = ctypes.create_string_buffer(b"".join(_PLACE.pack(*place) for place in fitting))

    def read_from(self, pid: int) -> bytes | None:
        """Return the bytes of all places, one after the other; None if not all can be read, or not by one call."""
        if not self.size or self._read(pid) != self.size:
            return None
        return bytes(self._view[: self.size])

    def read_until_gap(self, pid: int) -> list[bytes]:
        """Return what lies at each place before the first that cannot be read."""
        if not self.count:
            return []
        read = self._read(pid)
        return [bytes(self._view[start:end]) for start, end in pairwise(self._ends) if end <= read]

    def _read(self, pid: int) -> int:
        """Return the number of bytes that could be read."""
        read: int = _process_vm_readv(pid, self._local, 1, self._remote, self.count, 0)
        if read >= 0:
            return read
        error = ctypes.get_errno()
        if error == errno.ESRCH:
            raise Vanished(f"process {pid} has ended")
        if error in {errno.EPERM, errno.ENOSYS}:
            raise Unavailable(
                f"the memory of process {pid} may not be read ({os.strerror(error)})",
                "run perfwatch as the target's user, or as root (CAP_SYS_PTRACE)",
            )
        return 0


def _fitting(places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the places before the first that the kernel would not take, or that would be too much in one call."""
    fitting: list[tuple[int, int]] = []
    total = 0
    for address, size in places[:MAX_PLACES]:
        total += size
        if not (0 < address < _USER_SPACE_END and size > 0 and total <= MAX_BYTES):
            break
        fitting.append((address, size))
    return fitting


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
