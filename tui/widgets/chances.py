"""One line: what would make requests cheaper, though it is not why they are slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.tui import palette
from perfwatch.tui.format import clean, fit
from perfwatch.tui.widgets.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model import Opportunity
    from perfwatch.tui.messages import Frame

_LEAD: Final = "cheaper  "


def chance_line(found: Sequence[Opportunity], width: int) -> Text:
    """Tell the one that saves most, and how many more there are."""
    if not found:
        return Text()
    more = f"  and {len(found) - 1} more" if len(found) > 1 else ""
    told = fit(clean(f"{found[0].kind}: {found[0].text}"), max(width - len(_LEAD) - len(more), 1))
    return Text.assemble((_LEAD, palette.STRONG), (told, palette.QUIET), (more, palette.FAINT), no_wrap=True)


class ChanceLine(Panel):
    """That line of all endpoints; there is none where nothing was found."""

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Tell what saves most."""
        return chance_line(frame.view.opportunities, width - 6)

    def watch_frame(self) -> None:
        """Come and go with what there is to tell."""
        if self.frame is not None:
            self.display = bool(self.frame.view.opportunities)
        super().watch_frame()
