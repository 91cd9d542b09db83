"""A call tree as rows: what is open, what is closed, where library code is folded into one row; pure."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.trees.branches import Branch

_OPEN_FROM: Final = 0.05
"""Part of the whole time from which a branch is open unless somebody closed it."""
_FOLDED_FROM: Final = 3
"""So many library functions that only call one another make one row."""
_MAIN: Final = 0.5
"""Part of its caller's time from which a branch is where the caller's time went."""
_LIBRARY: Final = re.compile(r"[/.]")


class Row(NamedTuple):
    """One line of the tree."""

    branch: Branch
    """The last of the functions that the row stands for."""
    depth: int
    share: float
    """Of the whole tree's time."""
    folded: tuple[Branch, ...]
    """The functions that it stands for, where it is more than one: the outermost first."""
    is_open: bool | None
    """None: there is nothing below."""


class Shape(NamedTuple):
    """What a person changed; keys of rows."""

    toggled: frozenset[str] = frozenset()
    """Closed where they would be open, and the other way round."""
    unfolded: frozenset[str] = frozenset()

    def chosen(self, key: str, row: Row) -> Shape:
        """Return the shape after a row was chosen: unfold it, fold it again, or open or close it."""
        if row.folded or key in self.unfolded:
            return Shape(self.toggled, self.unfolded ^ {key})
        return Shape(self.toggled ^ {key}, self.unfolded) if row.is_open is not None else self


def rows_of(root: Branch, shape: Shape) -> list[tuple[str, Row]]:
    """Return the rows with their keys; the root, which is the whole, has none."""
    tree = _Tree(root.spent_ns or 1, shape)
    return [row for key, branch in _keyed("", root.branches) for row in tree.rows(key, branch, 0)]


def main_path(root: Branch) -> list[Branch]:
    """Return where most of the time went: own functions from the outermost, then the reason; else what there is."""
    path, here = [], root
    while here.branches and here.branches[0].spent_ns >= _MAIN * here.spent_ns:
        here = here.branches[0]
        path.append(here)
    told = [branch for branch in path if branch.is_own or branch.reason is not None]
    return told if any(branch.is_own for branch in told) else path[-2:]


def leads_to_own(branch: Branch) -> bool:
    """Tell whether own code was called from here, at any depth."""
    return any(below.is_own or leads_to_own(below) for below in branch.branches)


def libraries(functions: Sequence[Branch]) -> str:
    """Name the libraries of functions: `threading, gunicorn, flask`."""
    names = (_LIBRARY.split(function.place, maxsplit=1)[0] for function in functions)
    return ", ".join(dict.fromkeys(name for name in names if name))


class _Tree(NamedTuple):
    total_ns: int
    shape: Shape

    def rows(self, key: str, branch: Branch, depth: int, singly: int = 0) -> Iterator[tuple[str, Row]]:
        """Yield a branch's row and those below it; so many functions from here on are not folded: `singly`."""
        chain = [branch] if singly else _chain(branch)
        if key in self.shape.unfolded:
            singly = len(chain)
        if len(chain) < _FOLDED_FROM or singly:
            chain = [branch]
        last = chain[-1]
        share = last.spent_ns / self.total_ns
        is_open = (share >= _OPEN_FROM) != (key in self.shape.toggled) if last.branches else None
        yield key, Row(last, depth, share, tuple(chain) if len(chain) > 1 else (), is_open)
        if is_open:
            for below, called in _keyed(key, last.branches):
                yield from self.rows(below, called, depth + 1, max(0, singly - 1))


def _chain(branch: Branch) -> list[Branch]:
    """Return a function and those below it that are library code, each the only branch of the one before."""
    chain: list[Branch] = []
    here: Branch | None = branch
    while here is not None and here.reason is None and not here.is_own:
        chain.append(here)
        here = here.branches[0] if len(here.branches) == 1 else None
    return chain or [branch]


def _keyed(above: str, branches: Sequence[Branch]) -> Iterator[tuple[str, Branch]]:
    """Give each branch a key that stays when others come and go, or when the line changes."""
    seen: Counter[str] = Counter()
    for branch in branches:
        key = f"{above}\n{branch.name}\t{branch.place.rpartition(':')[0]}"
        seen[key] += 1
        yield key if seen[key] == 1 else f"{key}\t{seen[key]}", branch
