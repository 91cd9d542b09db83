"""A question of one line, over the screen it is asked on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from perfwatch.agent import moments
from perfwatch.tui.keys import Keyed

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult

    from perfwatch.agent.model import SessionInfo
    from perfwatch.agent.source import Position

Answer = TypeVar("Answer")


class AskScreen(Keyed, ModalScreen[Answer | None], Generic[Answer]):
    """Returns what was made of the answer, or None where nobody gave one."""

    KEYS_OF = "a question"
    CSS_PATH = "asking.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel", key_display="esc")]

    def __init__(self, title: str, example: str, made: Callable[[str], Answer | None], unclear: str) -> None:
        """`made` tells what an answer means: None asks again, with the line that says what is unclear."""
        super().__init__()
        self._title, self._example, self._made, self._unclear = title, example, made, unclear

    def compose(self) -> ComposeResult:
        """Yield the box."""
        with Vertical(id="box") as box:
            box.border_title = self._title
            yield Input(placeholder=self._example, compact=True)
            yield Static(id="hint", markup=False)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        answer = self._made(event.value)
        if answer is None:
            self.query_one("#hint", Static).update(self._unclear)
        else:
            self.dismiss(answer)


def jump(position: Position, info: SessionInfo) -> AskScreen[int]:
    """Ask for a moment of the session."""
    unclear = f"not a time; try {moments.EXAMPLES}"
    return AskScreen("jump to", moments.EXAMPLES, lambda text: moments.parse(text, position, info), unclear)
