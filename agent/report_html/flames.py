"""Flame graphs: the code of all judged requests and of each endpoint, as SVG that can be read without scripts.

A block is as wide as its time; what it called hangs below it. Positions are percentages, and `page.js` zooms by
changing them. The own code's blocks are filled, libraries' only framed, reasons stand in brackets. Below each graph is
the same as a list, for readers of screens and of paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.wording import cut, duration, percent
from perfwatch.agent.report_html.markup import Html, element, folded, joined, lines, section

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.flame import Block

_LEAST: Final = 0.002
"""Of the whole: about a pixel of a wide screen."""
_DEEPEST: Final = 48
_ROW: Final = 20
_LISTED: Final = 0.01
_LINES: Final = 150
_MAX_NAME: Final = 81
_HINT: Final = (
    "The wider a block, the longer: the server's own code is filled, libraries are framed, and why it waited stands in "
    "brackets. Order and height mean nothing."
)


class Flame(NamedTuple):
    """What one graph shows."""

    title: str
    spent_on: str
    """What the time was spent on: `lock 76 %, calls 14 %`."""
    root: Block


def code(flames: Sequence[Flame], absent: str) -> Html:
    """Return the graphs, the first one open; `absent` says why where there are none."""
    if not flames:
        return section("code", "Where in the code", element("p", absent, class_="quiet"))
    graphs = (_graph(one, is_open=not number) for number, one in enumerate(flames))
    return section("code", "Where in the code", element("p", _HINT, class_="quiet"), *graphs)


def _graph(one: Flame, *, is_open: bool) -> Html:
    title = element("span", element("b", one.title), element("span", one.spent_on, class_="quiet"), class_="row")
    placed = list(_placed(one.root, 0.0, 1.0, 0))
    height = _ROW * (1 + max(block.depth for block in placed))
    drawn = element(
        "svg",
        *(_block(block, one.root.spent_ns) for block in placed),
        class_="flame",
        height=height,
        role="group",
        aria_label=one.title,
    )
    return folded(title, drawn, folded("as a list", _list(one.root), class_="quiet"), is_open=is_open, class_="graph")


class _Placed(NamedTuple):
    block: Block
    since: float
    width: float
    depth: int


def _placed(block: Block, since: float, width: float, depth: int) -> Iterator[_Placed]:
    """Yield a block and what is below it, without what is too small or too deep to be seen."""
    yield _Placed(block, since, width, depth)
    if depth >= _DEEPEST or not block.spent_ns:
        return
    for below in block.blocks:
        part = width * below.spent_ns / block.spent_ns
        if part >= _LEAST:
            yield from _placed(below, since, part, depth + 1)
        since += part


def _block(one: _Placed, whole_ns: int) -> Html:
    """Draw one block; in an SVG of its own its name is cut at its end."""
    block = one.block
    spent = ", ".join(f"{reason} {percent(ns / (block.spent_ns or 1))}" for reason, ns in block.spent_on[:4])
    share = f"{duration(block.spent_ns)}, {percent(block.spent_ns / (whole_ns or 1))} of all"
    words = lines((_named(block), block.place, share, spent))
    return element(
        "svg",
        element("title", words),
        element("rect", width="100%", height=_ROW - 1),
        element("text", _named(block), x=4, y=14),
        class_=f"block {block.kind} c-{block.reason}",
        x=f"{100 * one.since:.3f}%",
        y=one.depth * _ROW,
        width=f"{100 * one.width:.3f}%",
        height=_ROW - 1,
    )


def _named(block: Block) -> str:
    return cut(f"[{block.name}]" if block.kind == "reason" else block.name, _MAX_NAME)


def _list(root: Block) -> Html:
    """Return the blocks of 1 % and more as lists in lists."""
    return element("ul", _item(root, root.spent_ns or 1, [_LINES]), class_="tree")


def _item(block: Block, whole_ns: int, left: list[int]) -> Html:
    left[0] -= 1
    line = joined(
        (
            f"{duration(block.spent_ns)} {percent(block.spent_ns / whole_ns)} ",
            element("b", _named(block)),
            f" {block.place}",
        )
    )
    below = [one for one in block.blocks if one.spent_ns >= _LISTED * whole_ns]
    inside = [_item(one, whole_ns, left) for one in below if left[0] > 0]
    return element("li", line, element("ul", *inside) if inside else None)
