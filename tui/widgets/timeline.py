"""The recording as a line: live stands at the right end, the view may stand elsewhere; a click goes there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from perfwatch.tui import palette
from perfwatch.tui.axis import Axis
from perfwatch.tui.draw import runs
from perfwatch.tui.format import clock
from perfwatch.tui.messages import Frame, SeekWanted
from perfwatch.tui.widgets.panel import Panel, joined

if TYPE_CHECKING:
    from textual import events

    from perfwatch.agent.model import View

_SECOND_NS = 1_000_000_000
_GAP = 2
_MARKS = {"error": ("×", palette.ALARM), "event": ("◆", palette.ACCENT), "slow": ("▲", palette.WARN)}  # noqa: RUF001
_RANK = {"error": 3, "event": 2, "slow": 1}


class Timeline(Panel):
    """Two lines: marks, and the times of both ends."""

    _axis: Axis | None = None

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Draw the marks, then where the view stands."""
        position = frame.position
        axis = Axis.spanning(position.first_ns, position.last_ns, max(1, width - 2))
        self._axis = axis
        cells = _cells(frame, axis)
        here = axis.cell(position.now_ns)
        if here is not None:
            at_end = here == axis.width - 1
            cells[here] = ("●" if at_end else "┃", f"bold {palette.ACCENT}")
        return joined([Text.assemble(" ", runs(cells)), _labels(frame, axis, width)])

    def on_click(self, event: events.Click) -> None:
        """Ask to go to the moment under the pointer."""
        if self._axis is not None and 1 <= event.x <= self._axis.width:
            self.post_message(SeekWanted(self._axis.at(event.x - 1)))


def _cells(frame: Frame, axis: Axis) -> list[tuple[str, str]]:
    cells = [(" ", palette.FAINT)] * axis.begin + [("─", palette.FAINT)] * (axis.width - axis.begin)
    best: dict[int, str] = {}
    for at_ns, kind in _moments(frame.view):
        cell = axis.cell(at_ns)
        if cell is not None and _RANK[kind] > _RANK.get(best.get(cell, ""), 0):
            best[cell] = kind
    for cell, kind in best.items():
        cells[cell] = _MARKS[kind]
    return cells


def _moments(view: View) -> list[tuple[int, str]]:
    """Return when something happened; of slow and failed requests, in which second."""
    moments = [(at_ns, "event") for at_ns, _ in view.events]
    moments += [(max(second.at_ns, view.first_ns), "slow") for second in view.timeline if second.slow]
    return moments + [(max(second.at_ns, view.first_ns), "error") for second in view.timeline if second.errors]


def _labels(frame: Frame, axis: Axis, width: int) -> Text:
    """Write the times of both ends, what the marks mean, and where the view stands if not at the end."""
    info, position = frame.info, frame.position
    begin, end = (clock(info.unix_s(at_ns)) for at_ns in (position.first_ns, position.last_ns))
    legend = "   ".join(f"{glyph} {name}" for name, (glyph, _) in reversed(_MARKS.items()))
    line = Labels(width)
    line.put(end, width - 1 - len(end), palette.QUIET)
    here = axis.cell(position.now_ns)
    if here is not None and position.now_ns < position.last_ns - _SECOND_NS:
        now = clock(info.unix_s(position.now_ns))
        line.put(now, 1 + here - len(now) // 2, f"bold {palette.ACCENT}")
    line.put(begin, 1 + axis.begin, palette.QUIET)
    if position.since_ns is not None and position.window is None:
        line.put(f"since {clock(info.unix_s(position.since_ns))}", 1 + (here or 0) - len(end) * 2, palette.WARN)
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
