"""Charts over time: an area and lines over equal stretches, marks below them; SVG that stretches to the width there is.

What is stretched holds no text; the labels stand around it. Each chart tells its course in words too, and each stretch
its figures when it is pointed at.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.report_html.curves import HEIGHT, WIDTH, Line, curve, round_up
from perfwatch.agent.report_html.markup import Html, element, joined, lines
from perfwatch.agent.report_layout import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_TITLES: Final = 120
"""So many places can be pointed at."""
_DAY_S: Final = 86_400


class Chart(NamedTuple):
    """What is drawn over one time axis."""

    title: str
    figure: str
    """What it comes to over all."""
    lines: Sequence[Line]
    shown: Callable[[float], str]
    marks: Sequence[tuple[str, Sequence[bool]]] = ()
    """A name and the stretches in which that was: `slow requests`."""
    top: float | None = None
    """The end of the scale, where it does not go by the values."""
    unit: float = 1.0
    """Of what the end of the scale is a round number."""


class Times(NamedTuple):
    """The time axis: when its first stretch began, how long each is, how many there are."""

    at: float
    length_s: float
    number: int

    def said(self, number: float) -> str:
        """Return the moment at which a stretch begins; of more than a day with its date."""
        form = "%H:%M:%S" if self.length_s * self.number < _DAY_S else "%m-%d %H:%M"
        return moment(self.at + number * self.length_s, form)


def chart(one: Chart, times: Times) -> Html:
    """Draw a chart as a figure: its name and figure, its scale, the plot, the marks, the time."""
    largest = max((value for line in one.lines for value in line.values if value is not None), default=0.0)
    top = one.top or one.unit * round_up(largest / one.unit)
    words = _words(one, times)
    plot = element(
        "svg",
        element("title", one.title),
        element("desc", words),
        element("path", class_="grid", d="M0 0.5H600M0 60H600M0 119.5H600"),
        *(curve(line, top) for line in one.lines),
        *_pointed(one, times),
        class_="plot",
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        preserveAspectRatio="none",
        role="img",
    )
    scale = element(
        "div",
        element("span", one.shown(top)),
        element("span", one.shown(top / 2)),
        element("span", "0"),
        class_="scale",
    )
    caption = element(
        "figcaption", element("b", one.title), " ", _keys(one.lines), element("span", one.figure, class_="figure")
    )
    return element("figure", caption, scale, plot, _marks(one.marks, times), _time_axis(times), class_="chart")


def _pointed(one: Chart, times: Times) -> Iterator[Html]:
    """Yield what shows the figures of a place when it is pointed at."""
    each = max(ceil(times.number / _TITLES), 1)
    width = WIDTH / max(times.number, 1)
    for number in range(0, times.number, each):
        told_values = (
            f"{line.name} {one.shown(max(known))}"
            for line in one.lines
            if (known := [value for value in line.values[number : number + each] if value is not None])
        )
        marked = (name for name, where in one.marks if any(where[number : number + each]))
        words = lines((times.said(number), *told_values, *marked))
        yield element(
            "rect",
            element("title", words),
            class_="point",
            x=round(number * width, 2),
            width=round(each * width, 2),
            height=HEIGHT,
        )


def _keys(lines: Sequence[Line]) -> Html:
    if len(lines) < 2:  # noqa: PLR2004
        return Html()
    return joined(
        element("span", element("i", class_=f"stroke {line.kind}", aria_hidden="true"), line.name, class_="name")
        for line in lines
    )


def _marks(marks: Sequence[tuple[str, Sequence[bool]]], times: Times) -> Html:
    """Draw a lane of triangles for each kind of mark that there is, and say what it is."""
    lanes = [
        joined(
            (
                element(
                    "div", _lane([at for at, is_there in enumerate(where) if is_there], times.number), class_="lane"
                ),
                element("div", f"▲ {name}", class_="quiet"),
            )
        )
        for name, where in marks
        if any(where)
    ]
    return element("div", *lanes, class_="marks")


def _lane(places: Sequence[int], count: int) -> Html:
    triangles = (
        element("svg", element("path", d="M-4 9L0 1L4 9Z"), x=f"{100 * (place + 0.5) / count:.2f}%", overflow="visible")
        for place in places
    )
    return element("svg", *triangles, height=10, width="100%", aria_hidden="true")


def _time_axis(times: Times) -> Html:
    places = (0, times.number / 2, times.number)
    return element("div", *(element("span", times.said(place)) for place in places), class_="times")


def _words(one: Chart, times: Times) -> str:
    """Say in words what a chart shows."""
    said = [f"{one.figure}, from {times.said(0)} to {times.said(times.number)}"]
    for line in one.lines:
        known = [(value, number) for number, value in enumerate(line.values) if value is not None]
        if known:
            most, where = max(known)
            said.append(
                f"{line.name}: from {one.shown(min(known)[0])} to {one.shown(most)}, most at {times.said(where)}"
            )
    said += [f"{name} in {sum(where)} of {times.number} stretches" for name, where in one.marks]
    return "; ".join(said)
