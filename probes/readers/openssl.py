"""Where a process calls OpenSSL: its functions that give and take clear text, in each file that it has mapped.

A system's libssl, one that a wheel brought along, or one that is part of the interpreter or of its `_ssl` module: found
by their symbols, dynamic or static. Of a file that was stripped of them nothing is known (BoringSSL in grpc's module,
the OpenSSL in that of `cryptography`). Files and maps are hostile input: bounded. Cost: 1 ms a file, 50 ms at most.

Where the kernel has to execute the instruction under a probe by a single step, that is an exception more, and under a
hypervisor 10 us. The functions begin with such a one; the inner function that each calls at once, with the same
arguments, begins with a PUSH, which the kernel does itself. So the probe is set there, if the code is like that.
"""

from __future__ import annotations

import os
import platform
import re
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from perfwatch.probes.errors import Malformed
from perfwatch.probes.readers.elf_functions import functions
from perfwatch.probes.readers.elf_sections import ElfSections
from perfwatch.probes.readers.elf_symbols import EXECUTABLE, ElfSymbols, Symbol
from perfwatch.probes.readers.mapped_file import open_mapped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Kind: TypeAlias = Literal["read", "read_ex", "write", "shake"]
"""`read` and `read_ex` say how much they read by their result, or where their fourth argument points to."""
_FUNCTIONS: Final[tuple[tuple[Kind, bytes, Kind, bytes], ...]] = (
    ("read", b"SSL_read", "read_ex", b"SSL_read_ex"),
    ("write", b"SSL_write", "write", b"SSL_write_ex"),
)
_CALLS_AT_ONCE: Final = re.compile(rb"(?:\xf3\x0f\x1e\xfa)?(?:\x48\x83\xec.)?\xe8", re.DOTALL)
"""ENDBR64, SUB from RSP, CALL; x86-64."""
_PUSH: Final = re.compile(rb"\x41?[\x50-\x57]")
_DISTANCE: Final = struct.Struct("<i")
_MOST_CODE_BYTES: Final = 512
_CODE: Final = re.compile(
    rb"^(?P<range>[0-9a-f]++-[0-9a-f]++) r-xp \S++ \S++ \d++ ++"
    rb"(?P<path>/(?:[^/\n]*+/)*+[^/\n]*?(?:ssl|python)[^/\n]*+)$",
    re.MULTILINE,
)
_MAX_MAPS_BYTES: Final = 2 << 20
_MAX_FILES: Final = 8


class Site(NamedTuple):
    """Where clear text is read or written."""

    kind: Kind
    offset: int
    """In the file, of a function's first instruction."""
    is_stepped: bool
    """It is called often, and the kernel may have to execute that instruction by a single step."""


class Library(NamedTuple):
    """A file that a process has mapped as code, and what of OpenSSL is in it."""

    path: str
    range: str
    """Where it is mapped, as in /proc/PID/maps."""
    sites: tuple[Site, ...]


def find_openssl(proc: Path, pid: int) -> list[Library]:
    """Return the files in which a process can call OpenSSL; none where it has none, or has ended."""
    found = []
    for span, path in _code(proc, pid):
        with suppress(OSError, Malformed):
            fd = open_mapped(proc, pid, span, path)
            try:
                places = sites(fd)
            finally:
                os.close(fd)
            if places:
                found.append(Library(os.fsdecode(path), span, places))
    return found


def sites(fd: int, machine: str | None = None) -> tuple[Site, ...]:
    """Return where probes belong in an open file; raises Malformed or OSError."""
    symbols = ElfSymbols(fd)
    found: list[Site] = []
    for kind, name, kind_ex, name_ex in _FUNCTIONS:
        plain, ex = _function(fd, symbols, name), _function(fd, symbols, name_ex)
        inner = _inner(symbols, ex) if ex and (machine or platform.machine()) == "x86_64" else None
        if inner and (plain is None or _calls(symbols, plain, inner)):
            found.append(Site(kind_ex, symbols.offset_of(inner, permissions=EXECUTABLE), is_stepped=False))
            continue
        for each, function in ((kind, plain), (kind_ex, ex)):
            if function:
                offset = symbols.offset_of(function.address, permissions=EXECUTABLE)
                found.append(Site(each, offset, is_stepped=True))
    shake = _function(fd, symbols, b"SSL_do_handshake")
    if found and shake:
        found.append(Site("shake", symbols.offset_of(shake.address, permissions=EXECUTABLE), is_stepped=False))
    return tuple(found)


def _function(fd: int, symbols: ElfSymbols, name: bytes) -> Symbol | None:
    """Return a function by its dynamic symbol, else by its static one, if that is the only one of its name."""
    symbol = symbols.find(name)
    if symbol is None:
        alike = [each for each in functions(ElfSections(fd), name) if not each.is_clone]
        symbol = Symbol(alike[0].address, alike[0].size) if len(alike) == 1 else None
    return symbol


def _inner(symbols: ElfSymbols, function: Symbol) -> int | None:
    """Return the address of what a function calls first of all, if that begins with a PUSH."""
    code = symbols.read(function.address, min(function.size, _MOST_CODE_BYTES))
    call = _CALLS_AT_ONCE.match(code)
    if call is None or call.end() + _DISTANCE.size > len(code):
        return None
    address = function.address + call.end() + _DISTANCE.size + int(_DISTANCE.unpack_from(code, call.end())[0])
    return address if address > 0 and _PUSH.match(symbols.read(address, 2)) else None


def _calls(symbols: ElfSymbols, function: Symbol, address: int) -> bool:
    """Whether there is a CALL, or a JMP, of an address in a function."""
    code = symbols.read(function.address, min(function.size, _MOST_CODE_BYTES))
    return any(
        code[at - 1] in b"\xe8\xe9"
        and function.address + at + _DISTANCE.size + _DISTANCE.unpack_from(code, at)[0] == address
        for at in range(1, len(code) - _DISTANCE.size + 1)
    )


def _code(proc: Path, pid: int) -> Iterator[tuple[str, bytes]]:
    """Give the executable mappings of files named like OpenSSL or a Python, those like OpenSSL first."""
    maps = b""
    with suppress(OSError), (proc / str(pid) / "maps").open("rb") as file:
        maps = file.read(_MAX_MAPS_BYTES)
    seen = {match["path"]: match["range"].decode() for match in _CODE.finditer(maps)}
    likely_first = sorted(seen, key=lambda path: b"ssl" not in path.rpartition(b"/")[2])
    for path in likely_first[:_MAX_FILES]:
        yield seen[path], path
