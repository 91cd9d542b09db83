"""A snapshot of threads as text: threads that do the same are shown together, the holder of the lock first."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import TYPE_CHECKING, Final

from perfwatch.agent.doing import IDLE, RUNNING
from perfwatch.agent.report_cells import cells, clean, fit, wrap
from perfwatch.agent.report_layout import rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.snapshot import FrameNow, ProcessNow, Snapshot, ThreadNow

_OWN: Final = "▸"
_WIDEST_FUNCTION: Final = 40
_FEWEST_REPEATS: Final = 3
_MOST_NAMED: Final = 8


def to_text(snapshot: Snapshot, width: int | None) -> str:
    """Return the text; lines are cut at `width`, unless it is None."""
    blocks = (_process(process, width) for process in snapshot.processes)
    return "\n".join("".join(f"{_cut(line, width)}\n" for line in block) for block in blocks)


def _process(process: ProcessNow, width: int | None) -> Iterator[str]:
    yield rule(f"process {process.pid}: {clean(process.command)}", width or 0)
    yield from wrap(_how_read(process), width or sys.maxsize)
    for group in _groups(process.threads):
        yield ""
        yield _heading(group)
        yield from _frames(group[0].frames)
        if not group[0].is_whole:
            yield "     and what called these"
    if process.other_threads:
        yield ""
        yield f"{_counted(process.other_threads, 'thread')} without Python code"


def _cut(line: str, width: int | None) -> str:
    return (line if width is None else fit(line, width)).rstrip()


def _how_read(process: ProcessNow) -> str:
    python = f"Python {process.python or '?'}, {_counted(len(process.threads), 'thread')}"
    if process.stopped_ms is not None:
        return f"{python}; stopped for at most {process.stopped_ms:.0f} ms by {process.source}"
    moved = ": what runs may have moved on meanwhile" if any(map(_runs, process.threads)) else ""
    return f"{python}; read by {process.source} without a pause{moved}"


def _groups(threads: Iterable[ThreadNow]) -> list[list[ThreadNow]]:
    """Put together what does the same; first who holds the lock, then who runs, and last who has nothing to do."""

    def key(thread: ThreadNow) -> tuple[int, str, tuple[FrameNow, ...]]:
        return _rank(thread), thread.doing or "", thread.frames

    together: dict[tuple[int, str, tuple[FrameNow, ...]], list[ThreadNow]] = {}
    for thread in sorted(threads, key=lambda one: (_rank(one), one.tid or 0)):
        together.setdefault(key(thread), []).append(thread)
    return list(together.values())


def _rank(thread: ThreadNow) -> int:
    if thread.holds_gil:
        return 0
    if _runs(thread):
        return 1
    return 3 if thread.doing in IDLE else 2


def _runs(thread: ThreadNow) -> bool:
    return thread.doing == RUNNING or thread.holds_gil


def _heading(group: Sequence[ThreadNow]) -> str:
    names = ", ".join(f"{clean(one.name or 'without a name')} {one.tid or '?'}" for one in group[:_MOST_NAMED])
    more = f" and {len(group) - _MOST_NAMED} more" if len(group) > _MOST_NAMED else ""
    doing = group[0].doing or "?"
    lock = ", holds the interpreter lock" if group[0].holds_gil else ""
    return f"{names}{more}: {doing}{lock}"


def _frames(frames: Sequence[FrameNow]) -> Iterator[str]:
    functions = [_function(frame) for frame in frames]
    column = min(max(map(cells, functions), default=0), _WIDEST_FUNCTION)
    for frame, run in groupby(frames):
        count = len(list(run))
        line = _line(frame, column)
        if count < _FEWEST_REPEATS:
            yield from [line] * count
        else:
            yield line
            yield f"     the same {count - 1} times more"
    if not frames:
        yield "     no Python code"


def _line(frame: FrameNow, column: int) -> str:
    function = _function(frame)
    padded = fit(function, column) if cells(function) <= column else function
    return f"  {_OWN if frame.is_own else ' '} {padded}  {_place(frame)}"


def _function(frame: FrameNow) -> str:
    return "?" if frame.is_native and frame.function.startswith("0x") else clean(frame.function)


def _place(frame: FrameNow) -> str:
    """Say where the code is: of a library and the standard library without the way there."""
    file = clean(frame.file)
    if frame.is_native:
        return file.rpartition("/")[2]
    if not frame.is_own:
        file = file.rpartition("-packages/" if "-packages/" in file else "/lib/")[2]
    return f"{file}:{frame.line or '?'}"


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
