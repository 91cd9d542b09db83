"""The keys, made from the bindings that there are, and the legend of glyphs and letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.table import Table
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from perfwatch.agent.model import MECHANISMS, PRINCIPLE_OF
from perfwatch.tui import palette
from perfwatch.tui.keys import Keyed, general_first, section_of, shown
from perfwatch.tui.screens.base import FrameScreen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType
    from textual.app import ComposeResult
    from textual.screen import Screen

    from perfwatch.agent.model import Principle

_PRINCIPLES: tuple[Principle, ...] = ("efficiency", "concurrency", "capacity")


class Sheet(Keyed, ModalScreen[None]):
    """A page over the screen; any of its keys puts it away."""

    KEYS_OF = "help and legend"
    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,question_mark,l,q", "dismiss(None)", "close", key_display="esc")
    ]

    def __init__(self, title: str, content: RenderableType) -> None:
        super().__init__()
        self._title, self._content = title, content

    def compose(self) -> ComposeResult:
        """Yield the page."""
        with VerticalScroll(id="page") as page:
            page.border_title = self._title
            page.border_subtitle = "esc"
            yield Static(self._content)


def help_sheet(screen: Screen[object], keymap: Mapping[str, str]) -> Sheet:
    """Return the page of all keys by where they work: on this screen, then everywhere, then the rest."""
    grid = Table.grid(padding=(0, 2))
    for kind in sorted(general_first(), key=lambda kind: _distance(kind, screen)):
        where, bindings = section_of(kind)
        grid.add_row("", Text(where, style=palette.STRONG))
        for binding in bindings:
            key = Text(shown(binding, keymap), style=f"bold {palette.ACCENT}", justify="right")
            grid.add_row(key, Text(binding.description))
        grid.add_row("", "")
    grid.add_row(
        Text("mouse", style=f"bold {palette.ACCENT}"),
        "click a row to select it, again to open it; the timeline to go there (drag: a window); the last line",
    )
    return Sheet("keys", grid)


def _distance(kind: type[Keyed], screen: Screen[object]) -> int:
    """Tell how far keys are from what one sees: of the screen itself, of what is on it, of all screens, of others."""
    is_of_screen = kind in type(screen).__mro__
    if is_of_screen and FrameScreen in kind.__mro__[1:]:
        return 0
    if any(kind in type(widget).__mro__ for widget in screen.query("*")):
        return 1
    if is_of_screen or kind in type(screen.app).__mro__:
        return 2
    return 3


def legend_sheet() -> Sheet:
    """Return the page of all buckets, parts of calls and principles."""
    grid = Table.grid(padding=(0, 2))
    for ink in (*palette.INKS.values(), palette.GC, palette.IDLE, palette.UNACCOUNTED, *palette.PART_INKS.values()):
        grid.add_row(Text(ink.glyph * 3, style=ink.colour), Text(ink.name, style=ink.colour), ink.meaning)
    grid.add_row("", "", "")
    for principle in _PRINCIPLES:
        mechanisms = ", ".join(name for name in MECHANISMS if PRINCIPLE_OF[name] == principle)
        colour = palette.COLOUR[principle]
        letter = Text(palette.LETTER[principle], style=f"bold {colour}", justify="center")
        grid.add_row(letter, Text(principle, style=colour), mechanisms)
    return Sheet("legend", grid)
