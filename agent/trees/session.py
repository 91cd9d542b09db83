r"""A pyinstrument session made of stacks with their times: exact, in nanoseconds, until pyinstrument's floats begin.

On one path from the root a function stands once, at the line that most of the time went through; where it waited at
several lines, its waits say which. Those without a name of their own (`<lambda>`) are told apart by their lines. A wait
ends in a branch for its reason (`[lock]`), time on a CPU is the function's own. Names come from the target: they are
made harmless here, before pyinstrument joins them with `\0` and `\1`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from pyinstrument.session import Session

from perfwatch.agent.report_cells import clean
from perfwatch.agent.trees.origin import Files
from perfwatch.agent.trees.paths import path_of
from perfwatch.agent.trees.reasons import RAN, Reason, attribute, meaning, reason_of
from perfwatch.probes.frames import MAX_FRAME_CHARS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from perfwatch.agent.model import StackTime

_NAMELESS: Final = ("<lambda>", "<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>")
_PRECISION_S: Final = 0.0001
"""Of the times that pyinstrument's page shows."""
_LAST_UNIX_S: Final = 253_402_300_799.0
"""The end of the year 9999: a recording may claim any date, and renderers write it."""


def session_of(stacks: Iterable[StackTime], title: str, started_unix_s: float = 0.0) -> Session:
    """Make the session; its tree's root is the title, its root's time the sum of the stacks, to the nanosecond.

    Without time it has no record, and `root_frame()` returns None.
    """
    root, count, files = _Place(), 0, Files()
    for stack in stacks:
        if stack.spent_ns:
            count += 1
            _add(root, stack, files)
    top = _joined(clean(title[:MAX_FRAME_CHARS]), "", 0)
    total_ns = sum(root.lines.values())
    records = [([top, *path], spent_ns / 1e9) for path, spent_ns in _records(root, [])]
    return Session(
        frame_records=records,
        start_time=min(max(started_unix_s, 0.0), _LAST_UNIX_S),
        duration=total_ns / 1e9,
        min_interval=_PRECISION_S,
        max_interval=_PRECISION_S,
        sample_count=count,
        start_call_stack=[top],
        target_description=clean(title[:MAX_FRAME_CHARS]),
        cpu_time=root.on_cpu_ns() / 1e9,
        sys_path=files.roots(),
        sys_prefixes=files.foreign(),
    )


class _Place:
    """A function on one path from the root."""

    def __init__(self) -> None:
        self.lines: Counter[int] = Counter()
        """Time that went through each line."""
        self.calls: dict[tuple[str, str, int], _Place] = {}
        self.spent: Counter[tuple[Reason, int]] = Counter()
        """Time that ended here, by reason and line."""

    @property
    def line(self) -> int:
        """The line that most of the time went through."""
        return max(self.lines, key=lambda line: (self.lines[line], -line), default=0)

    def on_cpu_ns(self) -> int:
        """Return the time on a CPU, here and in what was called."""
        here = sum(ns for (reason, _), ns in self.spent.items() if reason in RAN)
        return here + sum(place.on_cpu_ns() for place in self.calls.values())


def _add(root: _Place, stack: StackTime, files: Files) -> None:
    place, ns = root, stack.spent_ns
    place.lines[0] += ns
    for frame in path_of(stack):
        name, file = clean(frame.function[:MAX_FRAME_CHARS]), clean(frame.file[:MAX_FRAME_CHARS])
        files.see(frame, file)
        line = max(frame.line, 0)
        place = place.calls.setdefault((name, file, line if name.endswith(_NAMELESS) else 0), _Place())
        place.lines[line] += ns
    line = max(stack.frames[0].line, 0) if stack.frames else 0
    place.spent[reason_of(stack), line] += ns


def _records(place: _Place, path: list[str]) -> Iterator[tuple[list[str], int]]:
    """Yield the paths on which time ended, below each place the longest first."""
    said = len({line for reason, line in place.spent if reason != "on_cpu"}) > 1
    for (reason, line), ns in place.spent.most_common():
        yield (path if reason == "on_cpu" else [*path, _leaf(reason, line if said else 0)]), ns
    for (name, file, _), called in sorted(place.calls.items(), key=lambda call: -call[1].lines.total()):
        yield from _records(called, [*path, _joined(name, file, called.line)])


def _leaf(reason: Reason, line: int) -> str:
    """Return the branch of a reason: in the place of a file what it means, so that it is not hidden as library code."""
    where = f"line {line}: " if line else ""
    return f"{_joined(f'[{reason}]', where + meaning(reason), 0)}\x01{attribute(reason)}"


def _joined(name: str, file: str, line: int) -> str:
    """Return pyinstrument's identifier; never one that it has a meaning for, because these hold no separator."""
    return f"{name}\0{file}\0{line}"
