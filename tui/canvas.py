"""A canvas for charts: dots of braille, two by four in each cell of the terminal; pure.

    canvas, scale = Canvas(40, 6), Scale.up_to(500.0, 6 * DOWN)
    canvas.area([(x, scale(value)) for x, value in enumerate(values)], palette.LINE)
    lines = with_axis(canvas.lines(), "500 ms", "0")

Columns of dots count from the left, rows of dots from the bottom, both from 0; a point outside is drawn at the edge.
A cell has one colour, that of what was drawn in it last. The shape is in the dots: what has to be told apart without
colours is drawn as an area, as a line, or with marks.
"""

from __future__ import annotations

import math
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from rich.text import Text

from perfwatch.tui import palette

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ACROSS: Final = 2
"""Dots of a cell, side by side."""
DOWN: Final = 4
"""Dots of a cell, below each other."""
Point: TypeAlias = tuple[float, float]
"""(x, y) in dots."""
_BITS: Final = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))
"""Of the left and of the right column of a cell, from the bottom."""
_RUNS: Final = tuple(
    tuple(tuple(sum(side[low : high + 1]) for high in range(DOWN)) for low in range(DOWN)) for side in _BITS
)
"""[side][lowest dot][highest dot]: the bits of a run."""
_GLYPHS: Final = {bits: chr(0x2800 + bits) if bits else " " for bits in range(256)}
_STEPS: Final = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


class Canvas:
    """So many cells to draw on."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = max(width, 0), max(height, 0)
        self._bits = bytearray(self.width * self.height)
        self._colours = [""] * len(self._bits)
        self._written: dict[int, str] = {}

    def line(self, points: Iterable[Point | None], colour: str) -> None:
        """Join points by strokes, from left to right; None leaves a gap."""
        for run in self._runs(points):
            self._column(*run[0], run[0][1], colour)
            for (before, beside), (x, y) in pairwise(run):
                low, high = min(beside, y), max(beside, y)
                middle = (low + high) // 2 if before < x else low
                lower, upper = (low, middle), (min(middle + 1, high), high)
                self._column(before, *(lower if beside <= y else upper), colour)
                self._column(x, *(upper if beside <= y else lower), colour)

    def area(self, points: Iterable[Point | None], colour: str) -> None:
        """Fill what lies below the points, from left to right; None leaves a gap."""
        for run in self._runs(points):
            for x, y in run:
                self._column(x, 0, y, colour)

    def mark(self, x: float, y: float, glyph: str, colour: str) -> None:
        """Put a glyph, one cell wide, over what is drawn in the cell of a dot."""
        if self._bits:
            column, row = self._inside(x, y)
            self.write(column // ACROSS, self.height - 1 - row // DOWN, glyph, colour)

    def write(self, column: int, row: int, text: str, colour: str) -> None:
        """Write over cells, counted from the top left; what has no room is cut. One cell a character."""
        if 0 <= row < self.height:
            for place, char in enumerate(text, max(column, 0)):
                if place < self.width:
                    self._written[row * self.width + place] = char
                    self._colours[row * self.width + place] = colour

    def lines(self) -> list[Text]:
        """Return what was drawn, from the top."""
        glyphs = list(self._bits.decode("latin-1").translate(_GLYPHS))
        for place, char in self._written.items():
            glyphs[place] = char
        return [self._row(glyphs, row * self.width) for row in range(self.height)]

    def _row(self, glyphs: Sequence[str], begin: int) -> Text:
        """Make pieces of one colour each, which is cheaper to paint than cells."""
        text, place = Text(), begin
        for colour, cells in groupby(self._colours[begin : begin + self.width]):
            end = place + sum(1 for _ in cells)
            text.append("".join(glyphs[place:end]), colour or None)
            place = end
        return text

    def _runs(self, points: Iterable[Point | None]) -> Iterator[list[tuple[int, int]]]:
        """Return runs without a gap: each has a dot for every column from its first point to its last."""
        if not self._bits:
            return
        for there, points_of in groupby(points, key=lambda point: point is not None):
            if there:
                dots = [self._inside(*point) for point in points_of if point is not None]
                yield [dots[0], *(dot for pair in pairwise(dots) for dot in _between(*pair))]

    def _inside(self, x: float, y: float) -> tuple[int, int]:
        across, down = self.width * ACROSS - 1, self.height * DOWN - 1
        return round(min(max(x, 0), across)), round(min(max(y, 0), down))

    def _column(self, x: int, low: int, high: int, colour: str) -> None:
        """Set the dots of one column from one row to another."""
        bits, colours, runs = self._bits, self._colours, _RUNS[x % ACROSS]
        place = (self.height - 1 - low // DOWN) * self.width + x // ACROSS
        for bottom in range(low // DOWN * DOWN, high + 1, DOWN):
            bits[place] |= runs[max(low - bottom, 0)][min(high - bottom, DOWN - 1)]
            colours[place] = colour
            place -= self.width


def _between(before: tuple[int, int], dot: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Return the dots of the columns after one dot, up to another."""
    (left, low), (right, high) = before, dot
    for x in range(left + 1, right):
        yield x, low + round((high - low) * (x - left) / (right - left))
    yield dot


class Scale(NamedTuple):
    """From values to rows of dots."""

    top: float
    """The value of the highest row; the lowest is 0."""
    dots: int

    @classmethod
    def up_to(cls, largest: float | None, height: int) -> Scale:
        """Return a scale with a round figure at its top, for so many cells."""
        if largest is None or not 0 < largest < math.inf:
            return cls(1.0, height * DOWN)
        unit = 10 ** math.floor(math.log10(largest))
        return cls(next(step * unit for step in _STEPS if step * unit >= largest * (1 - 1e-9)), height * DOWN)

    def __call__(self, value: float) -> float:
        """Return how high a value lies; what is not 0 is at least one row high."""
        return max(value / self.top * (self.dots - 1), 1.0) if value > 0 else 0.0


def with_axis(lines: Sequence[Text], top: str, bottom: str, *, width: int = 0) -> list[Text]:
    """Put an axis of values to the left of a canvas, at least so many cells wide, with labels at both ends."""
    room = max(width - 2, len(top), len(bottom))
    labels = [top, *[""] * (len(lines) - 2), bottom] if len(lines) > 1 else [top]
    return [
        Text.assemble((f"{label:>{room}} {'┤' if label else '│'}", palette.QUIET), line)
        for label, line in zip(labels, lines, strict=False)
    ]
