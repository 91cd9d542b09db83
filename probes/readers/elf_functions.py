"""Functions of a file by their name in `.symtab`, which is in no order: all of it is looked through, within bounds.

The names are searched first, and the symbols then only compared with the places found: both at the speed of C. Cost:
1 ms for libpython, 40 ms for the largest table that is read. Source: elf(5).
"""

from __future__ import annotations

import re
import struct
from array import array
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.probes.readers.elf_sections import ElfSections

_SYMBOL: Final = struct.Struct("<IBBHQQ")
_WORDS_OF_SYMBOL: Final = _SYMBOL.size // 4
_FUNCTION: Final = 2
_MAX_TABLE_BYTES: Final = 16 << 20
_MAX_PLACES: Final = 64
_MAX_SUFFIX: Final = 64
_CLONE: Final = re.compile(rb"(?:\.(?:constprop|isra|lto_priv|llvm)\.\d++)*+")
"""What compilers append to the name of a copy that they made for some of its callers; not of a part (`.cold`)."""


class Function(NamedTuple):
    """A function: virtual address in the file's own terms, and size."""

    address: int
    size: int
    is_clone: bool
    """Made by the compiler for some callers: its arguments are not those of the source."""


def functions(sections: ElfSections, name: bytes) -> list[Function]:
    """Return the functions of a name, and their clones; none where the file has no static symbols.

    Raises Malformed or OSError.
    """
    tables = sections.symbol_table()
    if tables is None:
        return []
    table, names = (sections.content(each, _MAX_TABLE_BYTES) for each in tables)
    suffixes = {place: _suffix(names, place + len(name)) for place in _places(names, name)}
    wanted = {place for place, suffix in suffixes.items() if suffix is not None}
    named = array("I", table[: len(table) // _SYMBOL.size * _SYMBOL.size])[::_WORDS_OF_SYMBOL]
    found = set()
    for index in [index for index, place in enumerate(named) if place in wanted][:_MAX_PLACES]:
        place, info, _, section, address, size = _SYMBOL.unpack_from(table, index * _SYMBOL.size)
        if info & 15 == _FUNCTION and section and size:
            found.add(Function(address, size, is_clone=bool(suffixes[place])))
    return sorted(found)


def _places(names: bytes, name: bytes) -> Iterator[int]:
    """Give where the name stands in a table of strings, also as the end of a longer one: linkers share those."""
    for whole in (name + b"\0", name + b"."):
        place = names.find(whole)
        for _ in range(_MAX_PLACES):
            if place < 0:
                break
            yield place
            place = names.find(whole, place + 1)


def _suffix(names: bytes, at: int) -> bytes | None:
    """Return what follows the name; None if that makes it the name of something else."""
    suffix, end, _ = names[at : at + _MAX_SUFFIX].partition(b"\0")
    return suffix if end and _CLONE.fullmatch(suffix) else None
