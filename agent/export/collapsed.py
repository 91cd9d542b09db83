"""Collapsed stacks, as Brendan Gregg's flamegraph.pl reads them: `outer;inner 123`, one path a line.

`POST /order/{};handle (gthread.py:281);place_order (orders.py:41);Cache.get (cache.py:61);[lock] 391000000`

Frames are spelled as py-spy spells them; the numbers are nanoseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent.correlator.wording import file_name
from perfwatch.agent.export.stacks import Path, summed

if TYPE_CHECKING:
    from typing import BinaryIO

    from perfwatch.agent.export.exported import Exported
    from perfwatch.probes.frames import Frame


def write(exported: Exported, out: BinaryIO) -> None:
    """Write a line for each path, in the order of their names."""
    lines = sorted(f"{_named(path)} {spent_ns}\n" for path, spent_ns in summed(exported).items())
    out.writelines(line.encode() for line in lines)


def _named(path: Path) -> str:
    names = [path.endpoint, *map(_frame, path.frames)]
    if path.leaf is not None:
        names.append(path.leaf)
    return ";".join(name.replace(";", ":") for name in names)


def _frame(frame: Frame) -> str:
    if not frame.file:
        return frame.function
    place = file_name(frame.file)
    return f"{frame.function} ({place}:{frame.line})" if frame.line else f"{frame.function} ({place})"
