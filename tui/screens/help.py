"""The keys, generated from the bindings that there are, and the legend of glyphs and letters."""

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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from textual.app import ComposeResult

    from perfwatch.agent.model import Principle

_PRINCIPLES: tuple[Principle, ...] = ("efficiency", "concurrency", "capacity")


class Sheet(ModalScreen[None]):
    """A page over the screen; any of its keys puts it away."""

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


def help_sheet(groups: Sequence[tuple[str, Sequence[BindingType]]]) -> Sheet:
    """Return the page of all keys, by where they work."""
    grid = Table.grid(padding=(0, 2))
    for title, bindings in groups:
        grid.add_row("", Text(title, style=palette.STRONG))
        for binding in bindings:
            if isinstance(binding, Binding):
                keys = binding.key_display or binding.key.replace(",", " ")
                grid.add_row(Text(keys, style=f"bold {palette.ACCENT}", justify="right"), binding.description)
        grid.add_row("", "")
    grid.add_row(
        Text("mouse", style=f"bold {palette.ACCENT}"),
        "click a row to select it, again to open it; click the timeline to go there, drag over it to select a window",
    )
    return Sheet("keys", grid)


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
