"""Collapsed stacks, as Brendan Gregg's flamegraph.pl reads them: `outer;inner 123`, one path a line.

`POST /order/{};handle (gthread.py:281);place_order (orders.py:41);Cache.get (cache.py:61);[lock] 391000000`

Frames are spelled as py-spy spells them; the numbers are nanoseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent.export.stacks import Path, spelled, summed

if TYPE_CHECKING:
    from typing import BinaryIO

    from perfwatch.agent.export.exported import Exported


def write(exported: Exported, out: BinaryIO) -> None:
    """Write a line for each path, in the order of their names."""
    lines = sorted(f"{_named(path)} {spent_ns}\n" for path, spent_ns in summed(exported).items())
    out.writelines(line.encode() for line in lines)


def _named(path: Path) -> str:
    names = [path.endpoint, *map(spelled, path.frames)]
    if path.leaf is not None:
        names.append(path.leaf)
    return ";".join(name.replace(";", ":") for name in names)
