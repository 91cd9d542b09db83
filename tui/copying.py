"""What `y` copies: the verdict or the row that is selected, as text for a ticket or a chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Static

from perfwatch.tui.widgets.rows import RowList
from perfwatch.tui.widgets.why import WhyPanel

if TYPE_CHECKING:
    from textual.screen import Screen


def selected(screen: Screen[object]) -> str | None:
    """Return the verdict of a screen that is about one thing; else the row under the cursor."""
    panels = [panel for panel in screen.query(WhyPanel) if panel.display]
    if panels:
        titles = [str(title.visual).strip() for title in screen.query("#title").results(Static)]
        return "\n".join((*titles, *panels[0].as_text())) or None
    focused = screen.focused
    lists = [focused] if isinstance(focused, RowList) else list(screen.query(RowList))
    texts = (rows.as_text(rows.chosen) for rows in lists if rows.chosen is not None)
    return next(texts, None)
