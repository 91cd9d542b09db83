"""The last line: the pages with the one that is shown, and the keys of this screen; all of it can be clicked."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from rich.text import Text
from textual.widget import Widget

from perfwatch.tui import palette
from perfwatch.tui.pages import PAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual import events
    from textual.screen import Screen

_LAST: Final = "help"
"""The action whose key is there however little room there is."""
_ROOM_FOR_KEYS: Final = 28
_GAP: Final = 2
"""Cells between two keys; between two pages it is one less."""


class _Piece(NamedTuple):
    """A page or a key, and what a click on it does."""

    text: Text
    action: str
    gap: int
    """Cells before it."""

    @property
    def cells(self) -> int:
        """What it takes up."""
        return self.gap + self.text.cell_len


class KeyBar(Widget):
    """Pages at the left, by name where there is room, else by number; keys as many as fit."""

    ALLOW_SELECT: ClassVar[bool] = False
    DEFAULT_CSS = "KeyBar { height: 1; dock: bottom; }"

    def __init__(self) -> None:
        super().__init__()
        self._ends: list[tuple[int, str]] = []
        """Up to which column a click does what, from the left."""

    def on_mount(self) -> None:
        """Follow the keys that can be pressed."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def on_unmount(self) -> None:
        """Follow them no longer."""
        self.screen.bindings_updated_signal.unsubscribe(self)

    def _changed(self, _: Screen[object]) -> None:
        self.refresh()

    def render(self) -> Text:
        """Lay the line out."""
        width, page = self.size.width - 1, getattr(self.screen, "page_shown", None)
        pages = [] if page is None else _pages(page, width)
        keys = _fitting(list(self._keys()), width - sum(piece.cells for piece in pages))
        line, self._ends = Text(no_wrap=True, overflow="crop"), []
        for piece in (*pages, *keys):
            line.append(" " * piece.gap).append_text(piece.text)
            self._ends.append((line.cell_len, piece.action))
        return line

    def _keys(self) -> Iterator[tuple[str, _Piece]]:
        """Yield each action once, with its key and what it does."""
        seen: set[str] = set()
        for key, (_, binding, is_enabled, _) in self.screen.active_bindings.items():
            if binding.show and binding.action not in seen:
                seen.add(binding.action)
                name = self.app.get_key_display(binding)
                quiet = palette.QUIET if is_enabled else palette.FAINT
                text = Text.assemble((name, f"bold {palette.ACCENT}"), (f" {binding.description}", quiet))
                yield binding.action, _Piece(text, f"press('{key}')", _GAP)

    async def on_click(self, event: events.Click) -> None:
        """Do what stands under the pointer."""
        action = next((action for end, action in self._ends if event.x < end), None)
        if action is not None:
            await self.run_action(action)

    def action_press(self, key: str) -> None:
        """Do what the key does."""
        self.app.simulate_key(key)


def _pages(shown: str, width: int) -> list[_Piece]:
    """Name all pages, or where they would leave no room for keys, only the one that is shown."""
    named = _row(shown, {page.name for page in PAGES})
    has_room = sum(piece.cells for piece in named) + _ROOM_FOR_KEYS <= width
    return named if has_room else _row(shown, {shown})


def _row(shown: str, named: set[str]) -> list[_Piece]:
    pieces = []
    for page in PAGES:
        is_shown = page.name == shown
        name = f" {page.name}" if page.name in named else ""
        quiet = palette.STRONG if is_shown else palette.QUIET
        text = Text.assemble((page.key, f"bold {palette.ACCENT}"), (name, quiet))
        if is_shown:
            text.stylize("reverse")
        pieces.append(_Piece(text, f"app.page('{page.name}')", _GAP - 1))
    return pieces


def _fitting(keys: list[tuple[str, _Piece]], room: int) -> list[_Piece]:
    """Choose the keys that fit, in their order; that of the help always."""
    kept: list[_Piece] = []
    room -= sum(piece.cells for action, piece in keys if action == _LAST)
    for action, piece in keys:
        cells = 0 if action == _LAST else piece.cells
        if cells <= room:
            kept.append(piece)
            room -= cells
    return kept
