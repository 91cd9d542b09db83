"""A chart of a value a second: its figures above, axes at the left and below, marks where something was; pure.

It shows as many of the last seconds as have room, or the whole of a window: then some are told as one, or are wide.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from rich.text import Text

from perfwatch.tui import palette
from perfwatch.tui.canvas import ACROSS, DOWN, Canvas, Scale, with_axis
from perfwatch.tui.draw import runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LEAST_HEIGHT: Final = 4
"""Lines of the smallest chart: figures, two of dots, and the axis."""
_LABEL: Final = 6
"""Cells of the longest label of values."""
_EACH: Final = (4.0, 2.0, 1.0)
"""So many dots may a second be wide."""
_LONG_S: Final = 1_000
T = TypeVar("T")


def peak(values: Sequence[float | None]) -> float | None:
    """Return the largest of some values; None where there is none."""
    return max((value for value in values if value is not None), default=None)


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of some values; None where there is none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def condensed(values: Sequence[T], most: int, joined: Callable[[Sequence[T]], T]) -> Sequence[T]:
    """Return at most so many values in place of many: each is made of as many as the others, or one more."""
    most = max(most, 1)
    if len(values) <= most:
        return values
    ends = [place * len(values) // most for place in range(most + 1)]
    return [joined(values[begin:end]) for begin, end in pairwise(ends)]


class Chart(NamedTuple):
    """One value a second, the newest last; None where there is none."""

    name: str
    figures: Sequence[Text]
    """What it comes to at present, or over all; the longest that has room is shown."""
    told: Callable[[float], str]
    """How a value is written at the axis."""
    area: Sequence[float | None]
    line: Sequence[float | None] = ()
    marks: Sequence[bool] = ()
    """In which seconds there was something to point at."""
    mark: tuple[str, str] = ("▲", palette.WARN)
    colour: str = palette.LINE
    top: float | None = None
    """The end of the scale, where that does not go by the values."""
    is_whole: bool = False
    """All seconds are drawn, however many they are."""
    joined: Callable[[Sequence[float | None]], float | None] = peak
    """What of several seconds is told, where they have one dot."""


def drawn(chart: Chart, width: int, height: int) -> list[Text]:
    """Draw a chart in exactly so many lines of exactly so many cells; a second is a dot wide, or some."""
    cells = max(width - _LABEL - 2, 1)
    dots = cells * ACROSS
    if chart.is_whole:
        area, line = (tuple(condensed(one, dots, chart.joined)) for one in (chart.area, chart.line))
        marks = tuple(condensed(chart.marks, dots, any))
        each, seconds = (dots - 1) / max(len(area) - 1, 1), float(len(chart.area))
    else:
        each = next((number for number in _EACH if number * (len(chart.area) - 1) < dots), 1)
        kept, seconds = int((dots - 1) // each) + 1, dots / each
        area, line, marks = (tuple(chart.area[-kept:]), tuple(chart.line[-kept:]), tuple(chart.marks[-kept:]))
    largest = max((value for value in (*area, *line) if value is not None), default=0.0)
    scale = Scale.up_to(chart.top or largest, height - 2)
    plotted = _plotted(_Plot(area, line, cells, each, scale, chart.colour))
    lines = with_axis(plotted, chart.told(scale.top) if chart.top or largest else "", "0", width=_LABEL + 2)
    places = [place for place, is_marked in _places(marks, dots, each) if is_marked]
    return [_title(chart, width), *lines, _axis(chart.mark, places, cells, _ago(seconds))]


def _ago(seconds: float) -> str:
    """Write how far back the left end lies."""
    return f"-{seconds:.0f} s" if seconds < _LONG_S else f"-{seconds / 60:.0f} m"


class _Plot(NamedTuple):
    area: tuple[float | None, ...]
    line: tuple[float | None, ...]
    cells: int
    each: float
    scale: Scale
    colour: str


@lru_cache(64)
def _plotted(plot: _Plot) -> tuple[Text, ...]:
    """Draw the values; they change once a second, and screens are drawn more often."""
    area, line, cells, each, scale, colour = plot
    canvas, dots = Canvas(cells, scale.dots // DOWN), cells * ACROSS
    points = _points(area, dots, each, scale)
    canvas.line([None if point is None else (point[0], 0.0) for point in points], palette.FAINT)
    canvas.area([point if point is not None and point[1] else None for point in points], colour)
    canvas.line(_points(line, dots, each, scale), palette.ACCENT)
    return tuple(canvas.lines())


def beside(charts: Sequence[list[Text]], gap: int) -> list[Text]:
    """Put charts of one height next to each other."""
    return [Text(" " * gap).join(lines) for lines in zip(*charts, strict=True)]


def _places(values: Sequence[T], dots: int, each: float) -> Iterator[tuple[int, T]]:
    """Return the column of dots that each second is in: the newest in the last one."""
    begin = dots - 1 - (len(values) - 1) * each
    return ((round(begin + number * each), value) for number, value in enumerate(values))


def _points(values: Sequence[float | None], dots: int, each: float, scale: Scale) -> list[tuple[float, float] | None]:
    return [None if value is None else (place, scale(value)) for place, value in _places(values, dots, each)]


def _title(chart: Chart, width: int) -> Text:
    room = width - len(chart.name) - 1
    figures = next((one for one in chart.figures if one.cell_len <= room), chart.figures[-1])
    title = Text.assemble((chart.name, palette.QUIET), " " * max(1, room + 1 - figures.cell_len), figures)
    title.truncate(width, overflow="ellipsis")
    return title


def _axis(mark: tuple[str, str], places: Sequence[int], cells: int, begin: str) -> Text:
    """Say how far back the left end lies, and mark the seconds."""
    axis = [("─", palette.FAINT)] * cells
    for place in places:
        axis[place // ACROSS] = mark
    return Text.assemble((f"{begin:>{_LABEL}} └", palette.QUIET), runs(axis))
