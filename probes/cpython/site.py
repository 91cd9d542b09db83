"""Where a probe can be set on the garbage collector, from the interpreter's file: no process is needed for it.

By what it was built with (USDT `gc__start` and `gc__done`: Debian, Fedora), else at the function that collects, which
only a file with static symbols tells (pyenv, most builds of one's own). It is `gc_collect_main` from 3.10 on, `collect`
before, of which a compiler may make copies: GCC makes two of 3.8's, and the one that `_PyGC_CollectNoFail` calls serves
only the end of the interpreter. The file may be made by an adversary. Cost: 2 ms; 50 ms at most, but for a file system
that does not answer.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from perfwatch.probes.errors import Malformed
from perfwatch.probes.readers.elf_functions import functions
from perfwatch.probes.readers.elf_sections import ElfSections
from perfwatch.probes.readers.elf_symbols import EXECUTABLE, WRITABLE, ElfSymbols
from perfwatch.probes.readers.usdt import static_probes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.probes.readers.elf_functions import Function
    from perfwatch.probes.readers.usdt import StaticProbe

_MINOR: Final = re.compile(r"3\.(\d{1,3})(?=\.|$)")
_RENAMED: Final = 10
_AUTOMATIC: Final = 13
"""From 3.13 on the function is asked for -1, whichever is due, and finds out itself."""
_ARGUMENT: Final = re.compile(
    rb"(?P<minus>-?)(?P<size>[1248])@"
    rb"(?:%(?P<register>[a-z0-9]{2,4})|(?P<displacement>-?\d{1,6})?\(%(?P<base>[a-z0-9]{2,4})\))(?= |$)"
)
_LEGACY: Final = ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp")
_REGISTERS: Final = {
    **{f"{width}{name}": name for name in _LEGACY for width in ("r", "e", "")},
    **{f"r{number}{width}": f"r{number}" for number in range(8, 16) for width in ("", "d", "w")},
}
"""x86-64 names, those of the lower halves too, to those of the kernel's `struct pt_regs`."""
_CALL: Final = struct.Struct("<Bi")
_CALLS: Final = (0xE8, 0xE9)
"""CALL and JMP to a 32-bit distance from their end."""
_MAX_CALLER_BYTES: Final = 4096


class Argument(msgspec.Struct, frozen=True):
    """Where an integer lies when a probe is hit."""

    register: str
    """As in the kernel's `struct pt_regs`: `si`, `sp`, `r12`."""
    displacement: int | None
    """None: it is in the register. Else in memory, so far behind the address in the register."""
    size: int
    """In bytes; of a register the lowest."""
    is_signed: bool


class Site(msgspec.Struct, frozen=True):
    """Where probes can be set; offsets are those of the file."""

    kind: Literal["usdt", "uprobe"]
    start_offset: int
    """Of the instruction; with `uprobe` of the function's first: its return is the end."""
    done_offset: int
    """0 with `uprobe`."""
    start_semaphore: int
    """0 where there is none."""
    done_semaphore: int
    generation: Argument | None
    """What the start is called with; None where only the collector's statistics tell."""


def collector_site(fd: int, version: str) -> Site | None:
    """Return where the collector of an open file (the interpreter's, or libpython's) can be probed; None if nowhere.

    `version` is the interpreter's, `3.11` or `3.11.7`. Raises nothing for any content of the file.
    """
    minor = _MINOR.match(version)
    try:
        sections, symbols = ElfSections(fd), ElfSymbols(fd)
        return _static(sections, symbols) or (_function(sections, symbols, int(minor[1])) if minor else None)
    except (Malformed, OSError):
        return None


def _static(sections: ElfSections, symbols: ElfSymbols) -> Site | None:
    """Return the site of USDT probes; None if one of the two has no place, or several, of which one serves others."""
    probes = [each for each in static_probes(sections) if each.provider == b"python"]
    start, done = (_only(each for each in probes if each.name == name) for name in (b"gc__start", b"gc__done"))
    if start is None or done is None:
        return None
    return Site(
        kind="usdt",
        start_offset=symbols.offset_of(start.address, permissions=EXECUTABLE),
        done_offset=symbols.offset_of(done.address, permissions=EXECUTABLE),
        start_semaphore=_semaphore(symbols, start),
        done_semaphore=_semaphore(symbols, done),
        generation=parse_argument(start.arguments),
    )


def _only(probes: Iterable[StaticProbe]) -> StaticProbe | None:
    found = list(probes)
    return found[0] if len(found) == 1 else None


def _semaphore(symbols: ElfSymbols, probe: StaticProbe) -> int:
    return symbols.offset_of(probe.semaphore, 2, WRITABLE) if probe.semaphore else 0


def parse_argument(text: bytes) -> Argument | None:
    """Parse `-4@112(%rsp)` or `-4@%ebp`, of several the first; None for what is of another form (a constant)."""
    match = _ARGUMENT.match(text)
    if match is None:
        return None
    register = _REGISTERS.get((match["register"] or match["base"]).decode())
    if register is None:
        return None
    displacement = None if match["register"] else int(match["displacement"] or 0)
    return Argument(register, displacement, int(match["size"]), is_signed=bool(match["minus"]))


def _function(sections: ElfSections, symbols: ElfSymbols, minor: int) -> Site | None:
    found = functions(sections, b"gc_collect_main" if minor >= _RENAMED else b"collect")
    if len(found) > 1:
        found = _without_called(found, symbols)
    if len(found) != 1:
        return None
    offset = symbols.offset_of(found[0].address, permissions=EXECUTABLE)
    # The second argument, by the calling convention; of a copy nobody knows which are left.
    is_told = minor < _AUTOMATIC and not found[0].is_clone
    generation = Argument("si", None, 4, is_signed=True) if is_told else None
    return Site("uprobe", offset, 0, 0, 0, generation)


def _without_called(found: list[Function], symbols: ElfSymbols) -> list[Function]:
    """Leave out the copy that `_PyGC_CollectNoFail` calls."""
    caller = symbols.find(b"_PyGC_CollectNoFail")
    if caller is None or caller.size > _MAX_CALLER_BYTES:
        return found
    code = symbols.read(caller.address, caller.size)
    called = set()
    for at in range(len(code) - _CALL.size + 1):
        instruction, distance = _CALL.unpack_from(code, at)
        if instruction in _CALLS:
            called.add(caller.address + at + _CALL.size + distance)
    return [each for each in found if each.address not in called]
