"""Histograms of the time that block devices take for their requests, cumulative since the attaching.

A request is timed from its making (so the queue is in it) to its completion, and counted as /proc/diskstats counts it;
`block.bpf.c` says which. Needs CAP_BPF and CAP_PERFMON, BTF, Linux 5.12, libbpf.so.1. Cost: 0.14 us a request. Of eight
pairs of runs with fio (4 KiB direct reads, 32 at a time, 88,000 a second on a virtual disk) the CPU time per read was
1.02 of that without (0.97 to 1.08), the reads per second 1.01 (0.83 to 1.14): within the noise. A completion that
interrupts the counting of another on its CPU is missed: none to 7 of 30,000, on a loop device above a busy disk.
"""

from __future__ import annotations

import platform
import struct
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from perfwatch.probes.errors import Unavailable
from perfwatch.probes.readers.libbpf import BpfObject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

SLOTS: Final = 32
MAX_DEVICES: Final = 256
_MINOR_BITS: Final = 20
_KEY: Final = struct.Struct("=I")  # dev_t
_CPU_VALUE: Final = struct.Struct(f"={2 * SLOTS}Q")  # struct histograms, one for each CPU


class Device(NamedTuple):
    """A block device's number."""

    major: int
    minor: int


class Histograms(NamedTuple):
    """How many requests took from 2**i to 2**(i+1) microseconds, at i; trailing zeros cut."""

    reads: tuple[int, ...]
    writes: tuple[int, ...]

    def with_(self, other: Histograms | None) -> Histograms:
        """Return both together."""
        return self if other is None else Histograms(_sum(self.reads, other.reads), _sum(self.writes, other.writes))


class BlockLatency:
    """The histograms of all block devices, while it is open."""

    def __enter__(self) -> Self:
        """Attach to the block layer; raises Unavailable. About 5 ms."""
        self._bpf = BpfObject(object_file(platform.machine()).read_bytes())
        try:
            self._bpf.load()
            self._latencies = self._bpf.map("latencies", _KEY.size, _CPU_VALUE.size * self._bpf.possible_cpus())
            self._bpf.attach()
        except BaseException:
            self._bpf.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bpf.close()

    def read(self) -> Iterator[tuple[Device, Histograms]]:
        """Give the histograms of each device, or partition, that has completed a request."""
        for key, value in self._latencies.entries(MAX_DEVICES):
            yield parse_entry(key, value)


def parse_entry(key: bytes, value: bytes) -> tuple[Device, Histograms]:
    """Parse an entry of the map `latencies`: a dev_t, and for each CPU the counts of reads, then those of writes."""
    (number,) = _KEY.unpack(key)
    totals = [sum(counts) for counts in zip(*_CPU_VALUE.iter_unpack(value), strict=True)]
    device = Device(number >> _MINOR_BITS, number & ((1 << _MINOR_BITS) - 1))
    return device, Histograms(_cut(totals[:SLOTS]), _cut(totals[SLOTS:]))


def object_file(machine: str) -> Path:
    """Path of the BPF object for an architecture; raises Unavailable where there is none."""
    path = Path(__file__).with_name(f"block.{machine}.bpf.o")
    if not path.exists():
        raise Unavailable(f"there is no block probe for {machine} machines", "build one: make bpf")
    return path


def check() -> None:
    """Raise Unavailable where the kernel does not take the program, for this user; loads and unloads it, 5 ms."""
    with BpfObject(object_file(platform.machine()).read_bytes()) as bpf:
        bpf.load()


def _sum(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(sum, zip_longest(one, other, fillvalue=0)))


def _cut(counts: list[int]) -> tuple[int, ...]:
    """Leave out the zeros at the end."""
    return tuple(counts[: max((i + 1 for i, count in enumerate(counts) if count), default=0)])
