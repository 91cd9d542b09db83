"""Which file a process's code lies in, by address: the executable mappings of /proc/PID/maps."""

from __future__ import annotations

import time
from bisect import bisect_right
from contextlib import suppress
from typing import Final, NamedTuple

from perfwatch.probes import roots

_MAX_MAPS_BYTES: Final = 2 << 20
_AGAIN_S: Final = 5.0
"""An address that lies nowhere may be of a library that was loaded since; looked for at most so often."""


class _Text(NamedTuple):
    start: int
    end: int
    path: str


class Libraries:
    """The files that a process executes, but one: its interpreter. The C library counts as part of its callers."""

    def __init__(self, pid: int, *, but: str) -> None:
        self._pid = pid
        self._but = but
        self._texts: list[_Text] = []
        self._starts: list[int] = []
        self._next_look_s = 0.0

    def at(self, address: int) -> str | None:
        """Return the path of the library that an address lies in; None where it lies in none that is named."""
        found = self._find(address)
        if found is None and time.monotonic() >= self._next_look_s:
            self._look()
            found = self._find(address)
        if found is None or found.path == self._but or found.path.rpartition("/")[2].startswith(("libc.", "libc-")):
            return None
        return found.path

    def _find(self, address: int) -> _Text | None:
        place = bisect_right(self._starts, address) - 1
        return self._texts[place] if place >= 0 and address < self._texts[place].end else None

    def _look(self) -> None:
        self._next_look_s = time.monotonic() + _AGAIN_S
        maps = b""
        with suppress(OSError), (roots.PROC / str(self._pid) / "maps").open("rb") as file:
            maps = file.read(_MAX_MAPS_BYTES)
        self._texts = [text for line in maps.splitlines() if (text := _text(line))]
        self._starts = [text.start for text in self._texts]


def _text(line: bytes) -> _Text | None:
    """Read `7f1e62a00000-7f1e62a26000 r-xp 00000000 fe:00 131 /usr/lib/libc.so.6`, if it is a file's code."""
    span, permissions, *rest = line.split(maxsplit=5)
    if b"x" not in permissions or len(rest) < 4 or not rest[3].startswith(b"/"):  # noqa: PLR2004 - a path is the last
        return None
    start, _, end = span.partition(b"-")
    return _Text(int(start, 16), int(end, 16), rest[3].decode(errors="replace"))
