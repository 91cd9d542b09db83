"""The block devices and their counters: /proc/diskstats, and which device a partition is part of, by /sys/dev/block.

    254 0 vda 966067 99182 766248898 1594474 1424575 148199 811248360 1585934 0 499196 3226174 0 0 0 0 370853 17167

Number and name; reads: completed, merged, sectors of 512 bytes, ms; writes: the same; under way; ms busy; ms of all
requests together; since Linux 4.18 four of discards, since 5.5 flushes and their ms. The times are kept in 32 bits:
they begin anew at 2**32 ms. In containers too the devices are the host's. Cost: 5 us a device.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed
from perfwatch.probes.readers.proc import text

SECTOR_BYTES: Final = 512
MS: Final = 1_000_000
MAX_DEVICES: Final = 4096
_FLUSH_FIELDS: Final = 20


class Counters(NamedTuple):
    """One line."""

    major: int
    minor: int
    name: str
    reads: int
    read_bytes: int
    read_ns: int
    writes: int
    written_bytes: int
    write_ns: int
    in_flight: int
    busy_ns: int
    queue_ns: int
    flushes: int | None
    flush_ns: int | None

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor."""
        return (self.major, self.minor)

    @property
    def completed(self) -> tuple[int, int, int | None]:
        """What changes when the device is used."""
        return (self.reads, self.writes, self.flushes)


def parse_diskstats(raw: bytes) -> dict[tuple[int, int], Counters]:
    """Return the devices by number, at most 4,096; raises Malformed."""
    try:
        found = (_parse_line(line.split()) for line in raw.split(b"\n")[:MAX_DEVICES] if line)
        return {counters.number: counters for counters in found}
    except (ValueError, IndexError):
        raise Malformed(f"unknown form of /proc/diskstats: {raw[:200]!r}") from None


def whole_device(number: tuple[int, int]) -> str | None:
    """Return the name of the device that a partition is part of; None for what is no partition."""
    path = roots.SYS / "dev" / "block" / f"{number[0]}:{number[1]}"
    try:
        return path.resolve().parent.name.replace("!", "/") if (path / "partition").exists() else None
    except OSError:
        return None


def _parse_line(fields: list[bytes]) -> Counters:
    name = text(fields[2])
    n = [int(field) for field in fields[3:]]
    has_flushes = len(fields) >= _FLUSH_FIELDS
    return Counters(
        major=int(fields[0]),
        minor=int(fields[1]),
        name=name,
        reads=n[0],
        read_bytes=n[2] * SECTOR_BYTES,
        read_ns=n[3] * MS,
        writes=n[4],
        written_bytes=n[6] * SECTOR_BYTES,
        write_ns=n[7] * MS,
        in_flight=n[8],
        busy_ns=n[9] * MS,
        queue_ns=n[10] * MS,
        flushes=n[15] if has_flushes else None,
        flush_ns=n[16] * MS if has_flushes else None,
    )
