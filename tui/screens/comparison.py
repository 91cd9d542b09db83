"""Two windows, or two recordings, side by side: a sheet that is as wide as there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rich.text import Text

from perfwatch.agent.compare_text import lines
from perfwatch.tui import palette
from perfwatch.tui.screens.help import Sheet

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from perfwatch.agent.compare_figures import Tone
    from perfwatch.agent.comparing import Comparison

_STYLES: Final[dict[Tone, str]] = {
    "plain": palette.TEXT,
    "quiet": palette.QUIET,
    "strong": palette.STRONG,
    "worse": palette.WARN,
    "better": palette.GAIN,
}


class _Compared(NamedTuple):
    comparison: Comparison
    names: tuple[str, str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the lines for the room that there is."""
        for line in lines(self.comparison, self.names, options.max_width):
            yield Text.assemble(*((piece.text, _STYLES[piece.tone]) for piece in line), no_wrap=True)


def comparison_sheet(comparison: Comparison, names: tuple[str, str]) -> Sheet:
    """Return it; `names` say what A and B are."""
    sheet = Sheet("A and B", _Compared(comparison, names))
    sheet.add_class("-wide")
    return sheet
