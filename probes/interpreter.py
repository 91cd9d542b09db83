"""Which Python runs in a process, and where its `_PyRuntime` lies: read from `/proc/PID/maps` and the ELF file.

`_PyRuntime` is in `.dynsym` also of stripped builds. A futex inside it is the interpreter lock: in CPython 3.8 to
3.13 the main interpreter's GIL is part of it. Example line of maps:
`55d0c8a00000-55d0c8a4f000 r--p 00000000 fe:00 123  /usr/bin/python3.11`. Source: proc(5), elf(5).
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from perfwatch.probes.errors import Unavailable, Vanished

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from elftools.elf.sections import Symbol

_NAME: Final = re.compile(rb"(?:^|/)(?:lib)?python(?P<version>3\.\d+)?[^/]*$")
_BYTES_OF_ULONG: Final = 8


class Interpreter(msgspec.Struct, frozen=True):
    """A CPython in a process's memory."""

    version: str | None
    """`3.11.7`, or `3.8` where only the file's name tells it."""
    runtime_start: int
    """Address of `_PyRuntime` in the process."""
    runtime_bytes: int
    path: str


def find_interpreter(proc: Path, pid: int) -> Interpreter | None:
    """Return the Python of a process; None if it runs none.

    Raises Vanished if the process is gone, Unavailable if its maps may not be read. Costs 1 to 5 ms.
    """
    seen: set[bytes] = set()
    for start, offset, path in _file_maps(proc, pid):
        if path in seen or not _NAME.search(path.removesuffix(b" (deleted)")):
            continue
        seen.add(path)
        found = _in_file(proc, pid, start, offset, path)
        if found:
            return found
    return None


def _file_maps(proc: Path, pid: int) -> Iterator[tuple[str, int, bytes]]:
    """Give (range, file offset, path) of each mapping of a file, in order of address."""
    try:
        data = (proc / str(pid) / "maps").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        raise Vanished(f"process {pid} has ended") from None
    except PermissionError:
        raise Unavailable(f"no permission to look into process {pid}", "run as root or as its user") from None
    for line in data.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].startswith(b"/"):  # noqa: PLR2004 - the columns of maps
            yield fields[0].decode(), int(fields[2], 16), fields[5]


def _in_file(proc: Path, pid: int, map_range: str, offset: int, path: bytes) -> Interpreter | None:
    try:
        # The mapped file itself, also if it was deleted or lies in a container.
        file = (proc / str(pid) / "map_files" / map_range).open("rb")
    except OSError:
        try:
            file = open(os.fsencode(proc / str(pid) / "root") + path, "rb")  # noqa: PTH123, SIM115 - bytes path
        except OSError:
            return None
    with file:
        try:
            elf = ELFFile(file)
            runtime = _symbol(elf, "_PyRuntime")
            if runtime is None:
                return None
            start = int(map_range.partition("-")[0], 16)
            bias = start - _address_of_offset(elf, offset)
            return Interpreter(
                version=_version(elf, path),
                runtime_start=bias + int(runtime["st_value"]),
                runtime_bytes=int(runtime["st_size"]),
                path=os.fsdecode(path),
            )
        except (ELFError, ValueError, KeyError, OSError):
            return None  # a damaged or foreign file: not a Python that can be read


def _symbol(elf: ELFFile, name: str) -> Symbol | None:
    for segment in elf.iter_segments(type="PT_DYNAMIC"):
        if isinstance(segment, DynamicSegment):
            table: Any = elf.get_section_by_name(".gnu.hash") or elf.get_section_by_name(".hash")
            found = table.get_symbol(name) if table else None
            return found if found is not None and found["st_shndx"] != "SHN_UNDEF" else None
    return None


def _address_of_offset(elf: ELFFile, offset: int) -> int:
    """Virtual address, in the file's own terms, that a file offset is loaded to."""
    for segment in elf.iter_segments(type="PT_LOAD"):
        if (
            segment["p_offset"] <= offset + segment["p_align"] - 1
            and offset < segment["p_offset"] + segment["p_filesz"]
        ):
            page = int(segment["p_align"])
            return int(segment["p_vaddr"]) // page * page + offset - int(segment["p_offset"]) // page * page
    raise ValueError("the mapped part of the file is not loaded")


def _version(elf: ELFFile, path: bytes) -> str | None:
    """`Py_Version` (3.11 and later) holds PY_VERSION_HEX; older ones have only their name."""
    symbol = _symbol(elf, "Py_Version")
    if symbol is not None:
        for segment in elf.iter_segments(type="PT_LOAD"):
            at = int(symbol["st_value"]) - int(segment["p_vaddr"])
            if 0 <= at < int(segment["p_filesz"]):
                elf.stream.seek(int(segment["p_offset"]) + at)
                hexversion = int.from_bytes(elf.stream.read(_BYTES_OF_ULONG), "little")
                return f"{hexversion >> 24 & 255}.{hexversion >> 16 & 255}.{hexversion >> 8 & 255}"
    match = _NAME.search(path)
    return match["version"].decode() if match and match["version"] else None
