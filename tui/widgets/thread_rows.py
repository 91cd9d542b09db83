"""The threads of the target: what each does now, and the last minute, or a window, as a strip of cells."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from rich.text import Text

from perfwatch.agent.correlator.places import place_of
from perfwatch.agent.correlator.wording import at
from perfwatch.agent.model import TargetThread
from perfwatch.agent.model_threads import Doing
from perfwatch.tui import palette
from perfwatch.tui.draw import runs
from perfwatch.tui.format import NONE, clean, clock, fit, fit_path, percent
from perfwatch.tui.widgets.sorted_rows import Order, SortedRows

if TYPE_CHECKING:
    from collections.abc import Collection

    from perfwatch.agent.model_threads import Stretch
    from perfwatch.tui.messages import Frame

_CELL_NS: Final = 1_000_000_000
_LONGEST: Final = 60
_STATE: Final = 11
_FIGURES: Final = 6
_ROOMY: Final = 90
_WIDE: Final = 130
_READABLE: Final = 16
"""In fewer cells, where a thread stands is left out in favour of its name."""
_NOTHING: Final = 0.001
_STEPS: Final = 20
"""Figures are sorted by twentieths, so that rows do not change places all the time."""
_RESTS: Final = frozenset({"idle", "sleep", None})


class _Widths(NamedTuple):
    """How a row shares a line; 0 for what is left out."""

    tid: int
    name: int
    gil: int
    strip: int
    where: int

    @classmethod
    def fitting(cls, width: int) -> _Widths:
        """Give the strip what name and figures leave over, and words what the strip does."""
        tid, name, gil = (12, 20, _FIGURES) if width >= _ROOMY else (8, 14, 0)
        left = max(0, width - tid - name - _STATE - _FIGURES - gil - 2)
        strip = min(_LONGEST, left if width < _WIDE else left // 2)
        where = left - strip
        return cls(tid, name, gil, strip, where) if where >= _READABLE else cls(tid, name + where, gil, strip, 0)


def _busy(thread: TargetThread) -> float:
    """Count by ten seconds; who never does a thing is last."""
    seconds = sum(one.until_ns - one.from_ns for one in thread.past if one.doing not in _RESTS) // _CELL_NS
    rests = all(one.doing == "idle" for one in thread.past) and (thread.cpu or 0.0) < _NOTHING
    return seconds // 10 + (not rests) / 2


class ThreadRows(SortedRows[TargetThread]):
    """Keys are process and number."""

    ORDERS: ClassVar[tuple[Order, ...]] = (
        Order("busy", _busy),
        Order("cpu", lambda one: round((one.cpu or 0.0) * _STEPS)),
        Order("gil", lambda one: round((one.gil or 0.0) * _STEPS)),
        Order("name", lambda one: one.name, is_text=True),
    )
    _stuck: Collection[tuple[int | None, int | None]] = ()
    """Those that wait for each other in a ring."""

    _window: tuple[int, int] | None = None
    _ends = ("", "now")
    """Of when both ends of the strips are, in a window."""

    def take(self, frame: Frame) -> None:
        """Take the threads of a frame."""
        view, window = frame.view, frame.position.window
        if window != self._window:
            self._window = window
            self._drawn.clear()
            self.refresh()
        if self._window is not None:
            begin, end = (clock(frame.info.unix_s(at_ns)) for at_ns in self._window)
            self._ends = begin, end
        self._stuck = {(link.pid, link.tid) for one in view.deadlocks for link in one.members}
        self.show([(f"{one.pid}/{one.tid}", one) for one in view.threads])

    def heading(self, width: int) -> Text:
        """Name the columns."""
        widths = _Widths.fitting(width)
        begin, end = (f"{widths.strip} s ago", "now") if self._window is None else self._ends
        busy = self.marked("busy")
        left = widths.strip - len(begin) - 2 - len(busy)
        strip = fit(f"{begin}  {busy}{end:>{left}}" if left > len(end) else busy, widths.strip)
        return Text.assemble(
            self.title("threads", widths.tid),
            (fit(self.marked("name"), widths.name), palette.QUIET),
            (fit("does", _STATE), palette.QUIET),
            (f"{self.marked('cpu'):>{_FIGURES}}", palette.QUIET),
            (f"{self.marked('gil'):>{_FIGURES}}" if widths.gil else "", palette.QUIET),
            (f"  {strip}", palette.QUIET),
            (fit("  where", widths.where), palette.QUIET),
        )

    def row(self, item: TargetThread, width: int) -> Text:
        """Show one thread."""
        widths, ink = _Widths.fitting(width), palette.ink_for(item.doing)
        doing, colour = f"{ink.glyph} {ink.name}", ink.colour
        if (item.pid, item.tid) in self._stuck:
            doing, colour = "✗ deadlock", f"bold {palette.ALARM}"
        busy = item.doing not in _RESTS
        text = Text.assemble(
            (fit(str(item.tid), widths.tid), palette.QUIET),
            (fit_path(clean(item.name), widths.name - 1) + " ", palette.STRONG if busy else palette.TEXT),
            (fit(doing, _STATE), colour),
            (f"{_share(item.cpu):>{_FIGURES}}", palette.TEXT),
        )
        if widths.gil:
            mark = "◆" if item.holds_gil else ""
            text.append(f"{mark}{_share(item.gil):>{_FIGURES - len(mark)}}", palette.ALARM if mark else palette.TEXT)
        drawn = (
            strip(item.past, widths.strip)
            if self._window is None
            else whole_strip(item.past, self._window, widths.strip)
        )
        text.append("  ").append_text(drawn)
        return text.append(fit(f"  {clean(where(item))}", widths.where), palette.QUIET)

    def empty(self) -> str:
        """Say why there are none."""
        return "the threads of the target were not read yet"


def strip(past: tuple[Stretch, ...], width: int) -> Text:
    """Draw the newest seconds, now at the right: each in the glyph and colour of what most of it was."""
    cells: list[tuple[str, str]] = []
    for one in past:
        ink = palette.ink_for(one.doing)
        seconds = max(1, round((one.until_ns - one.from_ns) / _CELL_NS))
        cells += [(ink.glyph, ink.colour)] * min(seconds, width)
    cells = cells[-width:] if width > 0 else []
    return runs([(" ", palette.FAINT)] * (width - len(cells)) + cells)


def whole_strip(past: tuple[Stretch, ...], window: tuple[int, int], width: int) -> Text:
    """Draw a window: each cell is what most of its part of it was; blank is when the thread was not seen."""
    begin_ns, end_ns = window
    each_ns = max((end_ns - begin_ns) / max(width, 1), 1)
    spent = [Counter[Doing | None]() for _ in range(width)]
    for one in past:
        lasted_ns = max(one.until_ns - one.from_ns, 1)
        first, last = (int((at_ns - begin_ns) / each_ns) for at_ns in (one.from_ns, one.until_ns - 1))
        for cell in range(max(first, 0), min(last, width - 1) + 1):
            from_ns = begin_ns + cell * each_ns
            part = (min(from_ns + each_ns, one.until_ns) - max(from_ns, one.from_ns)) / lasted_ns
            for doing, ns in one.spent:
                spent[cell][doing] += round(ns * part)
    inks = [palette.ink_for(cell.most_common(1)[0][0]) if cell else None for cell in spent]
    return runs([(" ", palette.FAINT) if ink is None else (ink.glyph, ink.colour) for ink in inks])


def where(thread: TargetThread) -> str:
    """Say what a thread serves, and where in its code it stands."""
    place = place_of(thread.stack)
    here = "" if place is None else at(place.frame.function, place.frame.file, place.frame.line)
    told = f"{place.called} in {here}" if place is not None and place.called else here
    return ": ".join(part for part in (thread.serves, told) if part)


def _share(share: float | None) -> str:
    return NONE if share is None else percent(share)
