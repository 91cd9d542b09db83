"""The base of all parts that show something of a frame: they repaint only when what they show has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.reactive import reactive
from textual.widget import Widget

if TYPE_CHECKING:
    from perfwatch.tui.messages import Frame


class Panel(Widget):
    """A widget that is a function of the frame and its own width."""

    ALLOW_SELECT: ClassVar[bool] = False

    frame: reactive[Frame | None] = reactive(None, repaint=False)

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._shown = Text()

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Return what to show of this frame; lines are cut at the width."""
        raise NotImplementedError

    def watch_frame(self) -> None:
        """Repaint if the new frame looks different here."""
        self.repaint()

    def on_resize(self) -> None:
        """Fit the text to the new width, and the height to the text."""
        before = self._shown
        self.repaint()
        if self._shown is not before:
            # Once more: what asks for a layout while it is mounted keeps the height of before.
            self.call_later(self.refresh, layout=True)

    def repaint(self) -> None:
        """Compose the text again, and show it if it is another."""
        if self.frame is None or not self.size.width:
            return
        text = self.compose_text(self.frame, self.size.width)
        if text == self._shown:
            return
        relayout = text.plain.count("\n") != self._shown.plain.count("\n")
        self._shown = text
        self.refresh(layout=relayout)

    def render(self) -> Text:
        """Return what was composed last."""
        return self._shown


def joined(lines: list[Text]) -> Text:
    """Put lines below each other."""
    return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
