"""The last line: the pages with the one that is shown, and the keys of this screen; all of it can be clicked."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from rich.style import Style
from rich.text import Text
from textual.widget import Widget

from perfwatch.tui import palette
from perfwatch.tui.pages import PAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.screen import Screen

_LAST: Final = "help"
"""The action whose key is there however little room there is."""
_ROOM_FOR_KEYS: Final = 28
_GAP: Final = "  "


class KeyBar(Widget):
    """Pages at the left, by name where there is room, else by number; keys as many as fit."""

    ALLOW_SELECT: ClassVar[bool] = False
    DEFAULT_CSS = "KeyBar { height: 1; dock: bottom; link-style: none; link-style-hover: reverse; }"

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
        width = self.size.width - 1
        line = Text(" ", no_wrap=True, overflow="crop")
        if (page := getattr(self.screen, "page_shown", None)) is not None:
            line.append_text(_pages(page, width))
        for piece in _fitting(list(self._keys()), width - line.cell_len):
            line.append(_GAP).append_text(piece)
        return line

    def _keys(self) -> Iterator[tuple[str, Text]]:
        """Yield each action once, with its key and what it does."""
        seen: set[str] = set()
        for key, (_, binding, is_enabled, _) in self.screen.active_bindings.items():
            if binding.show and binding.action not in seen:
                seen.add(binding.action)
                name = self.app.get_key_display(binding)
                text = Text.assemble(
                    (name, f"bold {palette.ACCENT}"),
                    (f" {binding.description}", palette.QUIET if is_enabled else palette.FAINT),
                )
                yield binding.action, _clickable(text, f"press('{key}')")

    def action_press(self, key: str) -> None:
        """Do what the key does."""
        self.app.simulate_key(key)


def _pages(shown: str, width: int) -> Text:
    """Name all pages, or where they would leave no room for keys, only the one that is shown."""
    named = _row(shown, {page.name for page in PAGES})
    return named if named.cell_len + _ROOM_FOR_KEYS <= width else _row(shown, {shown})


def _row(shown: str, named: set[str]) -> Text:
    pieces = []
    for page in PAGES:
        is_shown = page.name == shown
        name = f" {page.name}" if page.name in named else ""
        piece = Text.assemble(
            (page.key, f"bold {palette.ACCENT}"), (name, palette.STRONG if is_shown else palette.QUIET)
        )
        if is_shown:
            piece.stylize("reverse")
        pieces.append(_clickable(piece, f"app.page('{page.name}')"))
    return Text(" ").join(pieces)


def _fitting(keys: list[tuple[str, Text]], room: int) -> list[Text]:
    """Choose the keys that fit, in their order; that of the help always."""
    kept: list[Text] = []
    room -= sum(text.cell_len + len(_GAP) for action, text in keys if action == _LAST)
    for action, text in keys:
        cells = 0 if action == _LAST else text.cell_len + len(_GAP)
        if cells <= room:
            kept.append(text)
            room -= cells
    return kept


def _clickable(text: Text, action: str) -> Text:
    text.stylize(Style(meta={"@click": action}))
    return text
