"""A request over time: one row for each stretch, its name at the left, its place on the axis at the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from perfwatch.tui import palette
from perfwatch.tui.format import duration, duration_ns, fit
from perfwatch.tui.palette import INKS
from perfwatch.tui.segments import Segment
from perfwatch.tui.widgets.rows import RowList

if TYPE_CHECKING:
    from collections.abc import Sequence

_NS_PER_MS = 1_000_000
_NICE = (1, 2, 5)


class Waterfall(RowList[Segment]):
    """Keys are the numbers of the stretches; choosing one leads to the request that is to blame for it."""

    KEYS_OF = "the stretches of a request"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "culprit of this stretch", show=False)]

    _start_ns = 0
    _length_ns = 1

    def plot(self, segments: Sequence[Segment]) -> None:
        """Take the stretches of a request."""
        if segments:
            self._start_ns = segments[0].start_ns
            self._length_ns = max(1, segments[-1].start_ns + segments[-1].length_ns - self._start_ns)
        self.show([(str(number), segment) for number, segment in enumerate(segments)])

    def heading(self, width: int) -> Text:
        """Draw the time axis above the bars."""
        left, bars = _split(width)
        return Text.assemble(
            (fit("where the time went", left), palette.STRONG),
            (scale(self._length_ns / _NS_PER_MS, bars), palette.QUIET),
        )

    def row(self, item: Segment, width: int) -> Text:
        """Show one stretch."""
        left, bars = _split(width)
        ink = INKS[item.bucket]
        begin = min(bars - 1, (item.start_ns - self._start_ns) * bars // self._length_ns)
        end = -(-(item.start_ns + item.length_ns - self._start_ns) * bars // self._length_ns)
        cells = min(max(1, end - begin), bars - begin)
        return Text.assemble(
            (f"{ink.glyph} {fit(ink.name, 10)}", ink.colour),
            (f"{duration_ns(item.length_ns):>8}  ", palette.STRONG),
            (fit(item.note, left - 23), palette.QUIET),
            " ",
            (" " * begin, palette.FAINT),
            (ink.glyph * cells, ink.colour),
        )

    def empty(self) -> str:
        """Say that nothing is known."""
        return "no stretch of it was recorded"


def _split(width: int) -> tuple[int, int]:
    """Share the width between the words and the bars."""
    left = min(70, max(34, width // 2))
    return left, max(1, width - left)


def scale(length_ms: float, width: int) -> str:
    """Write round times at their places on an axis, as many as fit well."""
    step = next((step for step in _round_steps() if length_ms / step * 10 <= width), length_ms)
    line = " " * width
    for number in range(int(length_ms / step) + 1):
        label = duration(number * step) if number else "0"
        at = int(number * step / length_ms * width) if length_ms else 0
        if at + len(label) < width:
            line = line[:at] + label + line[at + len(label) :]
    return line


def _round_steps() -> list[float]:
    return [nice * 10.0**power for power in range(-2, 9) for nice in _NICE]
