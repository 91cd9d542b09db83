"""A line of text as what is painted: lists have many lines, and Rich's own way is made for text of any shape."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.text import Text

_STYLES: Final = 1_024
"""So many are on a screen at most, by far."""
_Piece: TypeAlias = tuple[str, "Style | str | None"]


def strip_of(text: Text, under: Style, width: int, console: Console) -> Strip:
    """Draw one line on a style, exactly `width` cells wide: what is longer is cut."""
    pieces = _in_order(text) if _is_in_order(text) else _rendered(text, console)
    segments = [Segment(piece, _over(under, style)) for piece, style in pieces if piece]
    cells = cell_len(text.plain)
    if cells < width:
        segments.append(Segment(" " * (width - cells), under))
    return Strip(segments, max(cells, width)).crop(0, width)


def _is_in_order(text: Text) -> bool:
    """Whether its pieces follow each other: none lies on another one."""
    end = 0
    for span in text.spans:
        if span.start < end:
            return False
        end = span.end
    return not text.style


def _in_order(text: Text) -> Iterator[_Piece]:
    plain, at = text.plain, 0
    for start, end, style in text.spans:
        yield plain[at:start], None
        yield plain[start:end], style
        at = end
    yield plain[at:], None


def _rendered(text: Text, console: Console) -> Iterator[_Piece]:
    return ((segment.text, segment.style) for segment in text.render(console))


@lru_cache(_STYLES)
def _over(under: Style, style: Style | str | None) -> Style:
    if style is None:
        return under
    return under + (Style.parse(style) if isinstance(style, str) else style)
