"""Which Python runs in a process, and where its `_PyRuntime` lies: read from `/proc/PID/maps` and the ELF file.

`_PyRuntime` is in `.dynsym` also of stripped builds. A futex inside it is the interpreter lock: in CPython 3.8 to
3.13 the main interpreter's GIL is part of it. Example line of maps:
`55d0c8a00000-55d0c8a4f000 r--p 00000000 fe:00 123  /usr/bin/python3.11`. Source: proc(5), elf(5).

Any user's process is looked at by root, so maps and files are hostile input: what is read of them is bounded.
"""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.readers.elf_symbols import ElfSymbols
from perfwatch.probes.readers.mapped_file import open_mapped
from perfwatch.probes.readers.patience import in_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAPPING: Final = re.compile(
    rb"^(?P<range>(?P<start>[0-9a-f]++)-[0-9a-f]++) \S++ (?P<offset>[0-9a-f]++) (?P<file>\S++ \d++) ++"
    rb"(?P<path>/(?:[^/\n]*+/)*+(?:lib)?+python[^/\n]*+)$",
    re.MULTILINE,
)
_VERSION: Final = re.compile(rb"python(?P<version>3\.\d{1,2})[^/]*$")
_BYTES_OF_ULONG: Final = 8
_MAX_MAPS_BYTES: Final = 2 << 20
"""Some 20 000 mappings; the kernel writes them in 30 ms."""
_MAX_FILES: Final = 16
_NO_BLOCK_DEVICE: Final = b"00:"
"""Major number of what lies on no block device: FUSE and NFS, and overlays, which may be above them."""
_PATIENCE_S: Final = 0.5
_MAX_RUNTIME_BYTES: Final = 16 << 20
_USER_SPACE_END: Final = 1 << 63


class Interpreter(msgspec.Struct, frozen=True):
    """A CPython in a process's memory."""

    version: str | None
    """`3.11.7`, or `3.8` where only the file's name tells it."""
    runtime_start: int
    """Address of `_PyRuntime` in the process."""
    runtime_bytes: int
    path: str
    mapping: str
    """Where its file is mapped first, as /proc/PID/maps has it: `55d0c8a00000-55d0c8a4f000`."""

    @property
    def runtime(self) -> tuple[int, int]:
        """Where `_PyRuntime` begins and ends."""
        return self.runtime_start, self.runtime_start + self.runtime_bytes


class _Mapping(msgspec.Struct, frozen=True):
    """The first mapping of a file: `range` as maps writes it, `start` in the process, `offset` in the file."""

    range: str
    start: int
    offset: int
    file: bytes
    """Its device and inode."""
    path: bytes


def find_interpreter(proc: Path, pid: int) -> Interpreter | None:
    """Return the Python of a process; None if it runs none.

    Raises Vanished if the process is gone, Unavailable if its maps may not be read.
    Costs 0.5 ms, and 0.3 ms more off block devices; at most 50 ms, whatever the process has mapped, and 0.5 s for a
    file whose file system is dead.
    """
    for mapping in _python_files(_maps(proc, pid)):
        look = partial(_look, proc, pid, mapping)
        may_hang = mapping.file.startswith(_NO_BLOCK_DEVICE)
        found = in_time(mapping.file, look, _PATIENCE_S) if may_hang else look()
        if found:
            return found
    return None


def _look(proc: Path, pid: int, mapping: _Mapping) -> Interpreter | None:
    try:
        fd = open_mapped(proc, pid, mapping.range, mapping.path)
    except OSError:
        return None
    try:
        return _in_file(ElfSymbols(fd), mapping)
    except (Malformed, OSError):
        return None  # a damaged or foreign file: not a Python that can be read
    finally:
        os.close(fd)


def _maps(proc: Path, pid: int) -> bytes:
    try:
        with (proc / str(pid) / "maps").open("rb") as maps:
            return maps.read(_MAX_MAPS_BYTES)
    except (FileNotFoundError, ProcessLookupError):
        raise Vanished(f"process {pid} has ended") from None
    except OSError:
        raise Unavailable(f"no permission to look into process {pid}", "run as root or as its user") from None


def _python_files(maps: bytes) -> Iterator[_Mapping]:
    """Give the first mapping of each file named like a Python, in order of address."""
    seen: set[bytes] = set()
    for match in _MAPPING.finditer(maps):
        path = match["path"]
        if path in seen:
            continue
        seen.add(path)
        yield _Mapping(match["range"].decode(), int(match["start"], 16), int(match["offset"], 16), match["file"], path)
        if len(seen) == _MAX_FILES:
            return


def _in_file(symbols: ElfSymbols, mapping: _Mapping) -> Interpreter | None:
    runtime = symbols.find(b"_PyRuntime")
    if runtime is None:
        return None
    start = mapping.start - symbols.address_of_offset(mapping.offset) + runtime.address
    if not 0 < start < _USER_SPACE_END or not 0 < runtime.size <= _MAX_RUNTIME_BYTES:
        return None
    return Interpreter(
        version=_version(symbols, mapping.path),
        runtime_start=start,
        runtime_bytes=runtime.size,
        path=os.fsdecode(mapping.path),
        mapping=mapping.range,
    )


def _version(symbols: ElfSymbols, path: bytes) -> str | None:
    """`Py_Version` (3.11 and later) holds PY_VERSION_HEX; older ones have only their name."""
    symbol = symbols.find(b"Py_Version")
    if symbol is not None:
        hexversion = int.from_bytes(symbols.read(symbol.address, _BYTES_OF_ULONG), "little")
        return f"{hexversion >> 24 & 255}.{hexversion >> 16 & 255}.{hexversion >> 8 & 255}"
    match = _VERSION.search(path)
    return match["version"].decode() if match else None
