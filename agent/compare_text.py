"""A comparison as lines, for a terminal and for the screen: A and B side by side, or below each other.

What came from outside is made harmless by them. Each piece of a line says what it is, and whoever prints it, how that
looks; without colours the signs say the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from perfwatch.agent.compare_figures import Figure, Piece, shown, spent
from perfwatch.agent.correlator.wording import duration
from perfwatch.agent.report_cells import cells, clean, fit, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.comparing import Comparison, Figures, Moved, Part

SIDE_BY_SIDE: Final = 96
"""From so many cells on both have a column."""
_EACH: Final = 22
_CHANGE: Final = 18
_NAMES: Final = 60
_STACKED: Final = 10
_STACKED_NAME: Final = 8
Line: TypeAlias = tuple[Piece, ...]


def lines(comparison: Comparison, names: tuple[str, str], width: int) -> Iterator[Line]:
    """Yield the lines: who A and B are, all requests, then each endpoint."""
    for letter, name, side in zip("AB", names, comparison.sides, strict=True):
        yield (
            Piece(f"{letter}  {clean(name)}", "strong"),
            Piece(f"   {side.count:,} requests in {duration(side.seconds * 1e9)}", "quiet"),
        )
        yield from ((Piece(f"   {line}"),) for line in wrap(clean(side.verdict), max(width - 3, 1)))
    yield ()
    blocks = _beside(comparison, width) if width >= SIDE_BY_SIDE else _stacked(comparison, width)
    yield from blocks


def _fate(moved: Moved) -> str:
    p95 = moved.figures.p95_ms
    if p95.before is None:
        return "new in B"
    if p95.after is None:
        return "gone in B"
    return f"p95 times {p95.after / p95.before:.2f}" if p95.before else ""


def _parts(moved: Moved) -> Iterator[tuple[str, Part]]:
    """Yield what was spent in which way, and its label: beside the first of a kind also that."""
    for kind, parts in (("time", moved.buckets), ("code", moved.code)):
        for number, part in enumerate(parts):
            yield f"{kind if not number else '':<4}  {clean(part.name)}", part


# --- side by side


def _beside(comparison: Comparison, width: int) -> Iterator[Line]:
    room = min(width - 2 * _EACH - _CHANGE, _NAMES)
    head = f"{'':{room}}{'A':>{_EACH}}{'B':>{_EACH}}{'change':>{_CHANGE}}"
    yield (Piece(head, "quiet"),)
    yield (Piece("all requests", "strong"),)
    yield from _figure_rows(comparison.figures, room)
    for moved in comparison.endpoints:
        yield ()
        yield (
            Piece(fit(clean(moved.name), room + 2 * _EACH), "strong"),
            Piece(f"{_fate(moved):>{_CHANGE}}", "quiet"),
        )
        yield from _figure_rows(moved.figures, room)
        yield _row("   cause", moved.causes[0] or "-", moved.causes[1] or "-", Piece(""), room)
        for label, part in _parts(moved):
            yield from _part_row(f"   {label}", part, room)


def _figure_rows(figures: Figures, room: int) -> Iterator[Line]:
    for figure in shown(figures):
        yield _row(f"   {figure.name}", *figure.both(figures), figure.change(figures), room)


def _part_row(label: str, part: Part, room: int) -> Iterator[Line]:
    """Give a name that is too long for its column a line of its own."""
    if cells(label) > room:
        yield (Piece(label),)
        label = ""
    yield _row(label, *spent(part), room)


def _row(label: str, before: str, after: str, change: Piece, room: int) -> Line:
    figures = f"{fit(label, room)}{before:>{_EACH}}{after:>{_EACH}}"
    return (Piece(figures), Piece(f"{change.text:>{_CHANGE}}", change.tone))


# --- below each other


def _stacked(comparison: Comparison, width: int) -> Iterator[Line]:
    told = shown(comparison.figures)
    names = "".join(f"{figure.name:>{_STACKED}}" for figure in told)
    yield (Piece(f"{'':{_STACKED_NAME}}{names}  cause", "quiet"),)
    yield (Piece("all requests", "strong"),)
    yield from _sides(comparison.figures, told, ("", ""))
    for moved in comparison.endpoints:
        yield ()
        fate = _fate(moved)
        yield (Piece(fit(clean(moved.name), width - cells(fate) - 1), "strong"), Piece(f" {fate}", "quiet"))
        yield from _sides(moved.figures, told, moved.causes)
        for label, part in _parts(moved):
            yield from _stacked_part(f"  {label}", part, width)


def _sides(figures: Figures, told: Sequence[Figure], causes: tuple[str | None, str | None]) -> Iterator[Line]:
    both = [figure.both(figures) for figure in told]
    for side, letter in enumerate("AB"):
        values = "".join(f"{one[side]:>{_STACKED}}" for one in both)
        yield (Piece(f"{f'  {letter}':{_STACKED_NAME}}{values}  {causes[side] or ''}"),)
    changes = [figure.change(figures) for figure in told]
    if any(change.text for change in changes):
        row = (Piece(f"{change.text:>{_STACKED}}", change.tone) for change in changes)
        yield (Piece(f"{'  change':{_STACKED_NAME}}", "quiet"), *row)


def _stacked_part(label: str, part: Part, width: int) -> Iterator[Line]:
    before, after, more = spent(part)
    figures = f"{before} → {after}   "
    room = width - cells(figures) - cells(more.text) - 1
    if cells(label) > room:
        yield from ((Piece(("  " if number else "") + line),) for number, line in enumerate(_broken(label, width)))
        label = ""
    yield (Piece(f"{fit(label, room)} {figures}"), more)


def _broken(label: str, width: int) -> list[str]:
    """Break a label that is longer than a line, and leave its indent."""
    indent = len(label) - len(label.lstrip())
    return [" " * indent + line for line in wrap(label, max(width - indent - 2, 1))]
