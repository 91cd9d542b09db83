"""Static probes that a program was built with (USDT): where they are and what their arguments lie in.

One note of `.note.stapsdt` for each place: three addresses (the probe, the base, the semaphore), then provider, name
and arguments, each ended by a zero: `python`, `gc__start`, `-4@112(%rsp)`. Addresses are moved by as much as
`.stapsdt.base` was moved since the note was written (prelink).
Source: sourceware.org/systemtap/wiki/UserSpaceProbeImplementation.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.probes.readers.elf_sections import ElfSections

_NOTE: Final = struct.Struct("<III")
"""Bytes of the owner, of the description, and the type."""
_ADDRESSES: Final = struct.Struct("<QQQ")
_OWNER: Final = b"stapsdt\0"
_TYPE: Final = 3
_ALIGN: Final = 4
_STRINGS: Final = 3
_MAX_NOTES_BYTES: Final = 1 << 18
_MAX_NOTES: Final = 1024
_ADDRESS_MASK: Final = (1 << 64) - 1


class StaticProbe(NamedTuple):
    """One place of a probe; addresses are virtual ones, in the file's own terms."""

    provider: bytes
    name: bytes
    address: int
    semaphore: int
    """Of the counter that the program tests before it gets there; 0 if there is none."""
    arguments: bytes


def static_probes(sections: ElfSections) -> list[StaticProbe]:
    """Return the probes of a file, at most 1,024; raises Malformed or OSError."""
    notes = sections.find(b".note.stapsdt")
    if notes is None:
        return []
    base = sections.find(b".stapsdt.base")
    return list(parse_notes(sections.content(notes, _MAX_NOTES_BYTES), base.address if base else 0))


def parse_notes(data: bytes, base: int) -> Iterator[StaticProbe]:
    """Give the probes that notes describe; `base` is where the base lies in this file, 0 if it has none."""
    at = 0
    for _ in range(_MAX_NOTES):
        if len(data) - at < _NOTE.size:
            return
        owner_bytes, size, kind = _NOTE.unpack_from(data, at)
        owner_at = at + _NOTE.size
        start = owner_at + _aligned(owner_bytes)
        if kind == _TYPE and data[owner_at:start] == _OWNER and (probe := _parse(data[start : start + size], base)):
            yield probe
        at = start + _aligned(size)


def _parse(description: bytes, base: int) -> StaticProbe | None:
    strings = description[_ADDRESSES.size :].split(b"\0", _STRINGS)
    if len(description) < _ADDRESSES.size or len(strings) <= _STRINGS:
        return None
    address, noted_base, semaphore = _ADDRESSES.unpack_from(description)
    moved = base - noted_base if base and noted_base else 0
    provider, name, arguments, _ = strings
    return StaticProbe(
        provider=provider,
        name=name,
        address=(address + moved) & _ADDRESS_MASK,
        semaphore=(semaphore + moved) & _ADDRESS_MASK if semaphore else 0,
        arguments=arguments,
    )


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN
