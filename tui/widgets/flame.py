"""A flame graph that keys and the mouse move in: the root at the top, widths by time, colours and glyphs by reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from perfwatch.tui import palette
from perfwatch.tui.flames import Box, found, laid_out, paths
from perfwatch.tui.format import clean, fit
from perfwatch.tui.keys import Keyed
from perfwatch.tui.strips import strip_of

if TYPE_CHECKING:
    from textual import events
    from textual.strip import Strip

    from perfwatch.agent.flame import Block
    from perfwatch.tui.flames import Path

_MARGIN: Final = 1
_HERE: Final = Style.parse(f"{palette.STRONG} reverse")
_REST: Final = Style.parse(f"{palette.QUIET} reverse")
_HIT: Final = "◆"
_CURSOR: Final = "▶"
_NAMED_FROM: Final = 3
"""Cells from which a space stands between glyph and name."""


class FlameGraph(Keyed, Widget, can_focus=True):
    """Draws one tree of blocks; what is chosen and what is zoomed into are paths that outlive a new tree."""

    KEYS_OF = "a flame graph"
    ALLOW_SELECT: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "caller", "to its caller", show=False),
        Binding("down", "callee", "to what it called most", show=False),
        Binding("home", "whole", "to the whole", show=False),
        Binding("enter", "zoom", "zoom in", show=False),
        Binding("n", "hit(1)", "next that was searched for", show=False),
        Binding("N", "hit(-1)", "the one before", show=False),
    ]

    class Chosen(Message):
        """Another block is chosen, or it is another: None for the rest of some, of which `box` says how much."""

        def __init__(self, box: Box, hits: int, whole_ns: int) -> None:
            super().__init__()
            self.box, self.hits, self.whole_ns = box, hits, whole_ns

    def __init__(self) -> None:
        super().__init__()
        self._root: Block | None = None
        self._zoom: Path = ()
        self._zooms: list[Path] = []
        """Those before this one."""
        self._here: Path = ()
        self._needle = ""
        self._hits: tuple[Path, ...] = ()
        self._rows: list[list[Box]] = []
        self._top = 0

    # What is shown

    def tell(self, root: Block, *, is_new: bool = False) -> None:
        """Take a tree; of something else (`is_new`) the whole is chosen."""
        if root == self._root and not is_new:
            return
        if is_new:
            self._zoom = self._here = ()
            self._zooms.clear()
        self._root = root
        self.search(self._needle)

    def search(self, needle: str) -> None:
        """Mark the functions whose name or place contains this."""
        self._needle = needle.lower()
        self._hits = ()
        if self._needle and self._root is not None:
            named = ((path, f"{block.name} {block.place}".lower()) for path, block in paths(self._root) if path)
            self._hits = tuple(path for path, name in named if self._needle in name)
        self._lay_out()

    @property
    def is_zoomed(self) -> bool:
        """Whether less than the whole is shown."""
        return bool(self._zoom)

    def _lay_out(self) -> None:
        root = self._root
        if root is None:
            return
        self._zoom = found(root, self._zoom)
        self._rows = laid_out(root, self._zoom, self._room)
        if self._box(self._here) is None:
            self._here = found(root, self._here)
            self._here = self._here if self._box(self._here) is not None else self._zoom
        self._reach()
        box = self._box(self._here)
        if box is not None:
            self.post_message(self.Chosen(box, len(self._hits), root.spent_ns))
        self.refresh()

    def _reach(self) -> None:
        """Scroll so that the chosen block can be seen."""
        depth, height = len(self._here), max(1, self.size.height)
        self._top = min(max(self._top, depth - height + 1), depth)
        self._top = max(0, min(self._top, len(self._rows) - height))

    @property
    def _room(self) -> int:
        return max(1, self.size.width - 2 * _MARGIN)

    def _row(self, number: int) -> list[Box]:
        """Return a row of boxes by its depth, none below the last."""
        return self._rows[number] if number < len(self._rows) else []

    def _box(self, path: Path) -> Box | None:
        return next((box for box in self._row(len(path)) if box.path == path), None)

    # Moving

    def _go(self, path: Path) -> None:
        self._here = path
        self._lay_out()

    def action_caller(self) -> None:
        """Choose what called it."""
        if self._here:
            self._go(self._here[:-1])

    def action_callee(self) -> None:
        """Choose what it called that took most time."""
        mine = [box for box in self._row(len(self._here) + 1) if box.path[:-1] == self._here]
        if mine:
            self._go(max(mine, key=lambda box: (box.block is not None, box.spent_ns)).path)

    def go_beside(self, step: int) -> None:
        """Choose its neighbour in the row; from the last, the first."""
        row = self._row(len(self._here))
        place = next((number for number, box in enumerate(row) if box.path == self._here), None)
        if place is not None:
            self._go(row[(place + step) % len(row)].path)

    def action_whole(self) -> None:
        """Show and choose the whole."""
        self._zoom = ()
        self._zooms.clear()
        self._go(())

    def action_zoom(self) -> None:
        """Give the chosen block the whole width; for the rest of some, the one that they belong to."""
        zoom = self._here[:-1] if self._here and not self._here[-1] else self._here
        if zoom != self._zoom:
            self._zooms.append(self._zoom)
        self._zoom = zoom
        self._lay_out()

    def zoom_out(self) -> None:
        """Show what was shown before."""
        self._zoom = self._zooms.pop() if self._zooms else ()
        self._lay_out()

    def action_hit(self, step: int) -> None:
        """Choose the next of those that were searched for, zoomed out as far as it needs to be seen."""
        if not self._hits or self._root is None:
            return
        place = self._hits.index(self._here) + step if self._here in self._hits else min(step, 0)
        path = self._hits[place % len(self._hits)]
        self._here = path
        self._zooms.clear()
        for depth in range(len(path) + 1):
            self._zoom = path[:depth]
            self._rows = laid_out(self._root, self._zoom, self._room)
            if self._box(path) is not None:
                break
        self._go(path)

    def on_click(self, event: events.Click) -> None:
        """Choose the block there; the chosen one is zoomed into."""
        row = self._row(self._top + event.y)
        box = next((box for box in row if box.begin <= event.x - _MARGIN < box.begin + box.width), None)
        if box is None:
            return
        if box.path == self._here:
            self.action_zoom()
        else:
            self._go(box.path)

    def on_mouse_scroll_down(self) -> None:
        """Show what is further below."""
        self._top = max(0, min(self._top + 1, len(self._rows) - self.size.height))
        self.refresh()

    def on_mouse_scroll_up(self) -> None:
        """Show what is further above."""
        self._top = max(self._top - 1, 0)
        self.refresh()

    def on_resize(self) -> None:
        """Boxes depend on the width."""
        self._lay_out()

    # Painting

    def render_line(self, y: int) -> Strip:
        """Return one row of boxes."""
        width, text, at = self.size.width, Text(end="", no_wrap=True), 0
        for box in self._row(self._top + y):
            text.append(" " * (box.begin + _MARGIN - at))
            text.append(self._label(box), self._style(box))
            at = box.begin + _MARGIN + box.width
        return strip_of(text, self.rich_style, width, self.app.console)

    def _label(self, box: Box) -> str:
        mark = _CURSOR if box.path == self._here else _HIT if box.path in self._hits else ""
        if box.block is None:
            return fit(f"{mark}…{box.number} more", box.width)
        glyph = mark or palette.ink_of(box.block.reason).glyph
        if box.width == 1:
            return glyph
        name = f"{glyph}{' ' if box.width > _NAMED_FROM else ''}{clean(_shortly(box.block.name))}"
        label = fit(name, box.width)
        if self._is_filled(box) or box.path == self._here:
            return label
        shown = label.rstrip()
        left = box.width - cell_len(shown) - 1
        return f"{shown} {'─' * left}" if left > 0 else label

    def _style(self, box: Box) -> Style:
        """Reversed it is a block without colours too, and in every theme; else a line tells how wide it is."""
        if box.path == self._here:
            return _HERE
        if box.block is None:
            return _REST
        colour, is_strong = palette.ink_of(box.block.reason).colour, box.block.kind == "own" or box.path in self._hits
        return Style(color=colour, reverse=self._is_filled(box), bold=is_strong)

    def _is_filled(self, box: Box) -> bool:
        """Own code and reasons are; where something was searched for, what was found."""
        if box.block is None or self._hits:
            return box.path in self._hits
        return box.block.kind in {"own", "reason"}


def _shortly(name: str) -> str:
    """Leave out what a function is defined in."""
    return name.rpartition("<locals>.")[2]
