"""Where the fields lie that are read in an interpreter's memory: one table for each version, from its own headers.

offsets.json is written by derive.py from offsets.c, which explains the names. Structs seldom change within a minor
version; `open_python` notices where they did.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

OFFSETS: Final = Path(__file__).with_name("offsets.json")
_GROWING: Final = {"sz.runtime", "sz.interp"}
_MINOR: Final = re.compile(r"3\.\d{1,3}(?=\.|$)")


class Layout(msgspec.Struct, frozen=True):
    """The layout of one minor version; `layout["ts.frame"]` is an offset in bytes."""

    minor: tuple[int, int]
    """`(3, 11)`."""
    offsets: Mapping[str, int]

    def __getitem__(self, name: str) -> int:
        return self.offsets[name]

    def get(self, name: str) -> int | None:
        """Return an offset, or None where this version has no such field."""
        return self.offsets.get(name)

    def agrees_with(self, other: Layout) -> bool:
        """Whether both say the same of what both know, but for the sizes of what grows with each release."""
        shared = self.offsets.keys() & other.offsets.keys() - _GROWING
        return all(self.offsets[name] == other.offsets[name] for name in shared)


def layout_of(version: str) -> Layout | None:
    """Return the layout of `3.11.7` or `3.11`; None for a version that there is no table of."""
    minor = _MINOR.match(version)
    return _layouts().get(minor[0]) if minor else None


@cache
def _layouts() -> dict[str, Layout]:
    table = msgspec.json.decode(OFFSETS.read_bytes(), type=dict[str, dict[str, int]])
    return {minor: Layout((3, int(minor.partition(".")[2])), offsets) for minor, offsets in table.items()}
