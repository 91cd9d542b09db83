"""The recording as a line: live stands at the right end, the view may stand elsewhere; a click goes there.

What is dragged over becomes the window that everything is shown of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent.marks import MARK_KINDS
from perfwatch.agent.playing import Window
from perfwatch.tui import palette
from perfwatch.tui.axis import Axis
from perfwatch.tui.draw import runs
from perfwatch.tui.format import clock
from perfwatch.tui.messages import Frame, SeekWanted, WindowWanted
from perfwatch.tui.widgets.panel import Panel, joined

if TYPE_CHECKING:
    from textual import events

    from perfwatch.agent.model import View

_SECOND_NS = 1_000_000_000
_GAP = 2
_MARKS: Final = {
    "bookmark": ("¶", palette.STRONG),
    "error": ("×", palette.ALARM),  # noqa: RUF001
    "event": ("◆", palette.ACCENT),
    "slow": ("▲", palette.WARN),
    "throttled": ("▼", palette.WARN),
    "gc": (palette.GC.glyph, palette.GC.colour),
}
"""What is first covers what comes after it."""
_ALWAYS: Final = ("slow", "event", "error")
"""What the legend names even where there is none."""


class Timeline(Panel):
    """Two lines: marks, and the times of both ends."""

    _axis: Axis | None = None
    _down_x: int | None = None

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Draw the marks, then where the view stands."""
        position = frame.position
        axis = Axis.spanning(position.first_ns, position.last_ns, max(1, width - 2))
        self._axis = axis
        marks = _marks(frame, axis)
        cells = _line(frame, axis, marks)
        here = axis.cell(position.now_ns)
        if here is not None:
            at_end = here == axis.width - 1
            cells[here] = ("●" if at_end else "┃", f"bold {palette.ACCENT}")
        return joined([Text.assemble(" ", runs(cells)), _labels(frame, axis, width, set(marks.values()))])

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Begin a drag, or a click."""
        self._down_x = event.x
        self.capture_mouse()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Ask for the window that was dragged over, or to go to the moment under the pointer."""
        self.release_mouse()
        begin, self._down_x = self._down_x, None
        if self._axis is None or begin is None:
            return
        first, last = sorted(min(max(x - 1, 0), self._axis.width - 1) for x in (begin, event.x))
        if first != last:
            self.post_message(WindowWanted(self._axis.edge(first), self._axis.edge(last + 1)))
        elif 1 <= event.x <= self._axis.width:
            self.post_message(SeekWanted(self._axis.at(first)))


def _line(frame: Frame, axis: Axis, marks: dict[int, str]) -> list[tuple[str, str]]:
    """Draw the stream with its marks; what is selected is thick, or in reverse."""
    cells = [(" ", palette.FAINT)] * axis.begin + [("─", palette.FAINT)] * (axis.width - axis.begin)
    for cell, kind in marks.items():
        cells[cell] = _MARKS[kind]
    if (window := _window(frame)) is not None:
        first, last = (axis.nearest(at_ns) for at_ns in window)
        for cell in range(first, last + 1):
            glyph, style = cells[cell]
            cells[cell] = (glyph, f"{style} reverse") if cell in marks else ("━", f"bold {palette.ACCENT}")
    return cells


def _window(frame: Frame) -> Window | None:
    """Return the stretch that is selected, or is about to be."""
    position = frame.position
    if position.window is not None or frame.selecting_ns is None:
        return position.window
    return Window(*sorted((frame.selecting_ns, position.now_ns)))


def _marks(frame: Frame, axis: Axis) -> dict[int, str]:
    """Return the kind of mark that each cell has, where it has one."""
    kinds: dict[str, set[int]] = {kind: set() for kind in _MARKS}
    for at_ns, kind in _moments(frame.view):
        if (cell := axis.cell(at_ns)) is not None:
            kinds[kind].add(cell)
    for kind in MARK_KINDS:
        found = (cell for cell in range(axis.begin, axis.width) if frame.marks.is_between(kind, *axis.span(cell)))
        kinds["event" if kind == "target" else kind].update(found)
    best: dict[int, str] = {}
    for kind in _MARKS:
        for cell in kinds[kind]:
            best.setdefault(cell, kind)
    return best


def _moments(view: View) -> list[tuple[int, str]]:
    """Return when something happened in the view; of slow and failed requests, in which second."""
    moments = [(at_ns, "event") for at_ns, _ in view.events]
    moments += [(max(second.at_ns, view.first_ns), "slow") for second in view.timeline if second.slow]
    return moments + [(max(second.at_ns, view.first_ns), "error") for second in view.timeline if second.errors]


def _labels(frame: Frame, axis: Axis, width: int, kinds: set[str]) -> Text:
    """Write the times of both ends, what the marks mean, and where the view stands if not at the end."""
    info, position = frame.info, frame.position
    begin, end = (clock(info.unix_s(at_ns)) for at_ns in (position.first_ns, position.last_ns))
    named = [*_ALWAYS, *(kind for kind in _MARKS if kind in kinds and kind not in _ALWAYS)]
    legend = "   ".join(f"{_MARKS[name][0]} {name}" for name in named)
    line = Labels(width)
    line.put(end, width - 1 - len(end), palette.QUIET)
    here = axis.cell(position.now_ns)
    if position.window is not None:
        shown = "-".join(clock(info.unix_s(at_ns)) for at_ns in position.window)
        first, last = (axis.nearest(at_ns) for at_ns in position.window)
        line.put(shown, 1 + (first + last - len(shown)) // 2, f"bold {palette.ACCENT}")
    elif here is not None and (position.now_ns < position.last_ns - _SECOND_NS or position.since_ns is not None):
        now = clock(info.unix_s(position.now_ns))
        since = "" if position.since_ns is None else f" seen since {clock(info.unix_s(position.since_ns))}"
        line.put(now + since, 1 + here - len(now) // 2, f"bold {palette.ACCENT}")
    line.put(begin, 1 + axis.begin, palette.QUIET)
    if axis.begin > len(legend) + _GAP:
        line.put(legend, 1, palette.QUIET)
    else:
        line.put(legend, (width - len(legend)) // 2, palette.QUIET)
    return line.text()


class Labels:
    """Words at given places of one line; what would touch a word that stands already is left out."""

    def __init__(self, width: int) -> None:
        self._line = " " * width
        self._styles: list[tuple[str, int, int]] = []

    def put(self, word: str, at: int, style: str) -> None:
        """Put a word, moved inward where it would stand out over an end."""
        at = min(max(at, 1), max(1, len(self._line) - 1 - len(word)))
        end = at + len(word)
        if self._line[max(0, at - _GAP) : end + _GAP].strip() or end > len(self._line):
            return
        self._line = self._line[:at] + word + self._line[end:]
        self._styles.append((style, at, end))

    def text(self) -> Text:
        """Return the line."""
        text = Text(self._line)
        for style, start, end in self._styles:
            text.stylize(style, start, end)
        return text
