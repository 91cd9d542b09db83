"""Changes the colours of what was drawn into those of the theme, line by line: no widget knows of themes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from rich.color import Color as RichColour
from rich.segment import Segment
from rich.style import Style
from textual.filter import LineFilter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.color import Color

_STYLES: Final = 4_096
"""So many styles are on a screen at most, by far; what became of them is kept."""


class Repaint(LineFilter):
    """Knows what each colour becomes; what it does not know stays."""

    def __init__(self, colours: Mapping[str, str]) -> None:
        super().__init__(enabled=bool(colours))
        become = {RichColour.parse(one): RichColour.parse(other) for one, other in colours.items()}

        @lru_cache(_STYLES)
        def repainted(style: Style) -> Style:
            front = None if style.color is None else become.get(style.color)
            back = None if style.bgcolor is None else become.get(style.bgcolor)
            return style + Style.from_color(front, back) if front or back else style

        self._repainted = repainted

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - Textual's signature
        """Return the segments in the colours of the theme."""
        repainted = self._repainted
        return [
            segment if style is None else Segment(text, repainted(style), control)
            for segment in segments
            for text, style, control in (segment,)
        ]
