"""The kernel's ring buffer for BPF events, read where it is mapped: that costs half of a call-back for each event.

Documentation/bpf/ringbuf.rst, kernel/bpf/ringbuf.c, Linux 5.8. The first page is the reader's: how far it has read. The
second one is the kernel's: how far it has reserved. Behind it the data lie twice, one after the other, so that an event
never wraps. Each begins with its length: the topmost bit says that it is still being written, the next one that it is
to be passed over. Order of memory: what this process reads after a position was written before it, which only
x86-64 promises for plain loads and stores: elsewhere libbpf reads.
"""

from __future__ import annotations

import mmap
import struct
from typing import Final

MACHINES: Final = frozenset({"x86_64"})
_BUSY: Final = 1 << 31
_DISCARDED: Final = 1 << 30
_LENGTH: Final = struct.Struct("I")  # the header begins with it; the rest is the kernel's own use
_HEADER_BYTES: Final = 8


class Ring:
    """A ring buffer of `size` bytes, a power of two; the two positions count up for ever."""

    def __init__(self, consumer: memoryview, producer: memoryview, data: mmap.mmap) -> None:
        """Take the positions as memory of one 64-bit number each, and the data, which are there twice."""
        self._consumer, self._producer = consumer, producer
        self._data = data
        self._last = len(data) // 2 - 1

    def take(self) -> list[bytes]:
        """Copy the events that are whole, in order, up to the first that is not; their place is free then."""
        data, last, header = self._data, self._last, _LENGTH.unpack_from
        at, end, events = self._consumer[0], self._producer[0], list[bytes]()
        while at < end:
            place = (at & last) + _HEADER_BYTES
            (length,) = header(data, place - _HEADER_BYTES)
            if length < _DISCARDED:
                events.append(data[place : place + length])
            elif length & _BUSY:
                break
            else:
                length ^= _DISCARDED
            at += (length + 15) & ~7
        self._consumer[0] = at
        return events


class MappedRing(Ring):
    """The ring buffer that a map's descriptor stands for; to be closed. Raises OSError where it cannot be mapped."""

    def __init__(self, fd: int, size: int) -> None:
        page = mmap.PAGESIZE
        own = mmap.mmap(fd, page)
        kernels = mmap.mmap(fd, page, prot=mmap.PROT_READ, offset=page)
        data = mmap.mmap(fd, 2 * size, prot=mmap.PROT_READ, offset=2 * page)
        self._maps = (own, kernels, data)
        super().__init__(_position(own), _position(kernels), data)

    def close(self) -> None:
        """Let go of the memory."""
        self._consumer.release()
        self._producer.release()
        for each in self._maps:
            each.close()


def _position(page: mmap.mmap) -> memoryview:
    """Return the number that a page begins with; native, so that it is read and written in one piece."""
    with memoryview(page) as whole, whole[:8] as first:
        return first.cast("Q")
