"""Curves over equal stretches, as paths of SVG in a plot of fixed size; what was not measured is a gap."""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.report_html.markup import Html, element

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDTH: Final = 600.0
HEIGHT: Final = 120.0
_STEPS: Final = (1, 2, 2.5, 5, 10)


class Line(NamedTuple):
    """One figure over time, None where there is none."""

    name: str
    kind: str
    """`area`, `line`, `dashed`: how it is drawn."""
    values: Sequence[float | None]


def curve(line: Line, top: float) -> Html:
    """Draw a line, or an area down to the axis; where nothing is known it is interrupted."""
    path = "".join(_pieces(line.values, top, is_area=line.kind == "area"))
    return element("path", class_=line.kind, d=path) if path else Html()


def _pieces(values: Sequence[float | None], top: float, *, is_area: bool) -> Iterator[str]:
    width = WIDTH / max(len(values), 1)
    run: list[str] = []
    for number, value in enumerate((*values, None)):
        if value is not None:
            y = HEIGHT * (1 - min(value / top, 1.0)) if top > 0 else HEIGHT
            run.append(f"{number * width:.1f} {y:.1f}H{(number + 1) * width:.1f}")
        elif run:
            path = "L".join(run)
            first = run[0].partition(" ")[0]
            yield f"M{first} {HEIGHT:g}L{path}V{HEIGHT:g}Z" if is_area else f"M{path}"
            run = []


def round_up(value: float) -> float:
    """Return the least round number that is not below a value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in _STEPS if step * power >= value * 0.999)
