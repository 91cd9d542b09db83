"""A flame graph as boxes of cells: the root at the top, what a block called below it, widths by time; pure.

What has less than a cell stands, with its siblings, in one box that says how many they are and how long: no time is
left out without a word. What a block did itself is the room at its right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.flame import Block

_EPSILON: Final = 1e-9
Path: TypeAlias = tuple[str, ...]
"""The keys of blocks from the root, without the root's."""


class Box(NamedTuple):
    """A block, or the rest of its siblings, at its place."""

    path: Path
    """Of the rest: that of the block that they belong to, and an empty key."""
    begin: int
    width: int
    block: Block | None
    """None: the rest."""
    spent_ns: int
    number: int = 1
    """So many blocks."""


def laid_out(root: Block, path: Path, width: int) -> list[list[Box]]:
    """Return the boxes by their depth: those above the block at this path as wide as all, it and what is below it.

    Within a row they are in order of place, and none overlaps another.
    """
    rows = [[Box(path[:depth], 0, width, one, one.spent_ns)] for depth, one in enumerate(_along(root, path))]
    level = rows[-1]
    while level := [box for parent in level for box in _below(parent)]:
        rows.append(level)
    return rows


def found(root: Block, path: Path) -> Path:
    """Return as much of a path as there is."""
    return path[: len(list(_along(root, path))) - 1]


def paths(block: Block, path: Path = ()) -> Iterator[tuple[Path, Block]]:
    """Yield all blocks with their paths, those above before those below."""
    yield path, block
    for below in block.blocks:
        yield from paths(below, (*path, below.key))


def _along(root: Block, path: Path) -> Iterator[Block]:
    """Yield the blocks on a path, the root first."""
    here: Block | None = root
    yield root
    for key in path:
        here = next((below for below in here.blocks if below.key == key), None) if here is not None else None
        if here is None:
            return
        yield here


def _below(parent: Box) -> Iterator[Box]:
    """Yield the boxes of what a block called."""
    block, room = parent.block, parent.width
    if block is None or not block.blocks or block.spent_ns <= 0:
        return
    exact = [below.spent_ns * room / block.spent_ns for below in block.blocks]
    wide = [number for number, cells in enumerate(exact) if cells >= 1]
    rest = [number for number, cells in enumerate(exact) if cells < 1]
    rest_cells = max(1, int(sum(exact[number] for number in rest))) if rest else 0
    at = parent.begin
    cells_of = _whole([exact[number] for number in wide], int(sum(exact) + _EPSILON) - rest_cells)
    for number, cells in zip(wide, cells_of, strict=True):
        below = block.blocks[number]
        yield Box((*parent.path, below.key), at, cells, below, below.spent_ns)
        at += cells
    if len(rest) == 1:
        below = block.blocks[rest[0]]
        yield Box((*parent.path, below.key), at, rest_cells, below, below.spent_ns)
    elif rest:
        spent_ns = sum(block.blocks[number].spent_ns for number in rest)
        yield Box((*parent.path, ""), at, rest_cells, None, spent_ns, len(rest))


def _whole(exact: Sequence[float], room: int) -> list[int]:
    """Return whole cells: each rounded down, what is left by the largest remainder."""
    cells = [int(one) for one in exact]
    by_remainder = sorted(range(len(cells)), key=lambda number: cells[number] - exact[number])
    for number in by_remainder[: max(room - sum(cells), 0)]:
        cells[number] += 1
    return cells
