"""One line for what must not be overlooked: hidden while there is nothing to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.tui import palette
from perfwatch.tui.notices import notices
from perfwatch.tui.widgets.panel import Panel

if TYPE_CHECKING:
    from perfwatch.tui.messages import Frame

_SIGNS: Final = {
    "broken": ("✗", palette.ALARM),
    "warning": ("!", palette.WARN),
    "note": ("i", palette.ACCENT),
}


class NoticeLine(Panel):
    """The worst notice, and how many more there are."""

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Show the notices next to each other as far as they fit."""
        text = Text(no_wrap=True, overflow="ellipsis")
        for level, line in notices(frame):
            sign, colour = _SIGNS[level]
            text.append(f" {sign} ", f"bold {colour}").append(line + "  ", palette.TEXT)
        if text.cell_len > width:
            text.truncate(width, overflow="ellipsis")
        return text

    def watch_frame(self) -> None:
        """Take no room while there is nothing to say."""
        self.display = self.frame is not None and bool(notices(self.frame))
        super().watch_frame()
