"""Dynamic symbols of an ELF file, read so that no number in the file decides how long it takes.

The file may be made by an adversary: it is looked up by hash in a bounded number of reads of a few bytes, never walked,
and its section headers are not used (a stripped file may lack them). 64-bit little-endian files only, as of x86-64 and
AArch64. Cost: 0.1 ms; at most 1 ms.

Source: elf(5), gABI chapter 5 for `.hash`, glibc's elf/dl-lookup.c for `.gnu.hash`.
"""

from __future__ import annotations

import os
import struct
from typing import Final, NamedTuple

from perfwatch.probes.errors import Malformed

_HEADER: Final = struct.Struct("<6s26xQ14xHH")
"""Magic, and the program headers' offset, size of each, and count."""
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_DYNAMIC: Final = struct.Struct("<QQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_WORDS: Final = struct.Struct("<IIII")
_WORD: Final = struct.Struct("<I")
_LITTLE_64: Final = b"\x7fELF\x02\x01"
EXECUTABLE: Final = 1
WRITABLE: Final = 2
"""Permissions of a segment."""
_PT_LOAD: Final = 1
_PT_DYNAMIC: Final = 2
_DT_HASH: Final = 4
_DT_STRTAB: Final = 5
_DT_SYMTAB: Final = 6
_DT_GNU_HASH: Final = 0x6FFFFEF5
_BLOOM_WORD_BYTES: Final = 8
_MAX_SEGMENTS: Final = 64
_MAX_DYNAMIC: Final = 256
_MAX_CHAIN: Final = 64


class Symbol(NamedTuple):
    """A defined symbol: virtual address in the file's own terms, and size."""

    address: int
    size: int


class _Segment(NamedTuple):
    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    file_bytes: int
    memory_bytes: int
    align: int


class ElfSymbols:
    """The dynamic symbols of an open file. Its methods raise Malformed or OSError."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        magic, at, entry_bytes, count = _HEADER.unpack(self._read(0, _HEADER.size))
        if magic != _LITTLE_64 or entry_bytes != _SEGMENT.size or not 0 < count <= _MAX_SEGMENTS:
            raise Malformed("not a 64-bit little-endian ELF file that is loaded")
        segments = [_Segment(*each) for each in _SEGMENT.iter_unpack(self._read(at, count * _SEGMENT.size))]
        self._loads = [each for each in segments if each.kind == _PT_LOAD]
        self._tags = self._dynamic(next((each for each in segments if each.kind == _PT_DYNAMIC), None))

    def find(self, name: bytes) -> Symbol | None:
        """Return a symbol that the file defines; None if it defines none of that name."""
        if _DT_GNU_HASH in self._tags:
            return self._find_gnu(name)
        return self._find_sysv(name) if _DT_HASH in self._tags else None

    def read(self, address: int, size: int) -> bytes:
        """Return what the file holds for a virtual address."""
        return self._read(self.offset_of(address, size), size)

    def offset_of(self, address: int, size: int = 1, permissions: int = 0) -> int:
        """Return the file offset of a virtual address; raises Malformed if its segment lacks one of the permissions."""
        for load in self._loads:
            if load.flags & permissions == permissions and 0 <= address - load.address <= load.file_bytes - size:
                return load.offset + address - load.address
        raise Malformed("an address that is not in the file")

    def address_of_offset(self, offset: int) -> int:
        """Return the virtual address, in the file's own terms, that a file offset is loaded to."""
        for load in self._loads:
            page = max(load.align, 1)
            if load.offset <= offset + page - 1 and offset < load.offset + load.file_bytes:
                return load.address // page * page + offset - load.offset // page * page
        raise Malformed("the mapped part of the file is not loaded")

    def _dynamic(self, segment: _Segment | None) -> dict[int, int]:
        if segment is None:
            return {}
        size = min(segment.file_bytes // _DYNAMIC.size, _MAX_DYNAMIC) * _DYNAMIC.size
        return dict(_DYNAMIC.iter_unpack(self._read(segment.offset, size)))

    def _find_gnu(self, name: bytes) -> Symbol | None:
        table = self._tags[_DT_GNU_HASH]
        wanted = _gnu_hash(name)
        bucket_count, first, bloom_words, _ = _WORDS.unpack(self.read(table, _WORDS.size))
        if not bucket_count:
            raise Malformed("a hash table without buckets")
        buckets = table + _WORDS.size + bloom_words * _BLOOM_WORD_BYTES
        index = self._word(buckets, wanted % bucket_count)
        if index < first:
            return None
        for at in range(index, index + _MAX_CHAIN):
            value = self._word(buckets, bucket_count + at - first)
            # The lowest bit says that the chain ends here.
            if value | 1 == wanted | 1 and (symbol := self._symbol(at, name)):
                return symbol
            if value & 1:
                return None
        raise Malformed("a chain of symbols that does not end")

    def _find_sysv(self, name: bytes) -> Symbol | None:
        table = self._tags[_DT_HASH]
        bucket_count = self._word(table, 0)
        if not bucket_count:
            raise Malformed("a hash table without buckets")
        index = self._word(table, 2 + _sysv_hash(name) % bucket_count)
        for _ in range(_MAX_CHAIN):
            if not index:
                return None
            if symbol := self._symbol(index, name):
                return symbol
            index = self._word(table, 2 + bucket_count + index)
        raise Malformed("a chain of symbols that does not end")

    def _symbol(self, index: int, name: bytes) -> Symbol | None:
        """Return the symbol at an index if it is defined and has that name."""
        at = self._tag(_DT_SYMTAB) + index * _SYMBOL.size
        name_at, _, _, section, address, size = _SYMBOL.unpack(self.read(at, _SYMBOL.size))
        if not section or self.read(self._tag(_DT_STRTAB) + name_at, len(name) + 1) != name + b"\0":
            return None
        return Symbol(address, size)

    def _tag(self, tag: int) -> int:
        if tag not in self._tags:
            raise Malformed("a hash table without its symbols")
        return self._tags[tag]

    def _word(self, table: int, index: int) -> int:
        return int(_WORD.unpack(self.read(table + index * _WORD.size, _WORD.size))[0])

    def _read(self, offset: int, size: int) -> bytes:
        return read_at(self._fd, offset, size)


def read_at(fd: int, offset: int, size: int) -> bytes:
    """Return so many bytes of a file; raises Malformed where it is shorter."""
    if offset >= 1 << 63:
        raise Malformed("an offset that no file has")
    data = os.pread(fd, size, offset)
    if len(data) != size:
        raise Malformed("the file ends too early")
    return data


def _gnu_hash(name: bytes) -> int:
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


def _sysv_hash(name: bytes) -> int:
    value = 0
    for byte in name:
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high
    return value
