"""A probe of the kernel (uprobe) at a file offset, for tests: how often it is hit, and with which registers."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from pathlib import Path

from perfwatch.probes.readers.perf_event import Attributes, open_event

KIND = Path("/sys/bus/event_source/devices/uprobe/type")
REGISTERS = (
    *("ax", "bx", "cx", "dx", "si", "di", "bp", "sp", "ip", "flags", "cs", "ss"),
    *(f"r{number}" for number in range(8, 16)),
)
_MASK = 0xFF0FFF
_STACK_BYTES = 256
_PAGES = 64
_SAMPLE_REGISTERS, _SAMPLE_STACK = 1 << 12, 1 << 13
_RECORD_SAMPLE = 9


class Uprobe:
    """Probes one thread; `is_return`: at the end of the function there. With a semaphore, that is raised."""

    def __init__(self, path, offset, tid, *, semaphore=0, is_return=False):
        name = ctypes.create_string_buffer(os.fsencode(path))
        attributes = Attributes(
            type=int(KIND.read_text()),
            config=int(is_return) | semaphore << 32,
            sample_period=1,
            sample_type=_SAMPLE_REGISTERS | _SAMPLE_STACK,
            bp_addr=ctypes.addressof(name),  # config1
            bp_len=offset,  # config2
            sample_regs_user=_MASK,
            sample_stack_user=_STACK_BYTES,
        )
        self._fd = open_event(attributes, tid=tid)
        self._ring = mmap.mmap(self._fd, (1 + _PAGES) * mmap.PAGESIZE)

    def close(self):
        self._ring.close()
        os.close(self._fd)

    def hits(self):
        """Return (registers by name, what lies on the stack) of all hits so far; at most a ring of them."""
        (end,) = struct.unpack_from("Q", self._ring, 1024)
        assert end < _PAGES * mmap.PAGESIZE
        at, found = mmap.PAGESIZE, []
        while at < mmap.PAGESIZE + end:
            kind, _, size = struct.unpack_from("IHH", self._ring, at)
            assert kind == _RECORD_SAMPLE
            values = struct.unpack_from(f"{len(REGISTERS)}Q", self._ring, at + 16)
            stack = at + 16 + len(REGISTERS) * 8 + 8
            found.append((dict(zip(REGISTERS, values, strict=True)), self._ring[stack : stack + _STACK_BYTES]))
            at += size
        return found


def value(argument, hit):
    """Return the integer that an argument is at a hit."""
    registers, stack = hit
    data = registers[argument.register].to_bytes(8, "little")
    if argument.displacement is not None:
        assert argument.register == "sp"
        data = stack[argument.displacement :]
    return int.from_bytes(data[: argument.size], "little", signed=argument.is_signed)
