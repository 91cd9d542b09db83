"""The line of reasons to look at alone: all, what ran, what waited, each cause; by key or mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.message import Message
from textual.widget import Widget

from perfwatch.tui import palette
from perfwatch.tui.format import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events

    from perfwatch.agent.flame import Choice


class FlameChoices(Widget):
    """One of the choices is marked; it stays where others come and go."""

    ALLOW_SELECT: ClassVar[bool] = False

    class Chosen(Message):
        """Another one was chosen."""

    def __init__(self) -> None:
        super().__init__()
        self._choices: tuple[Choice, ...] = ()
        self._name = "all"

    def tell(self, choices: Sequence[Choice]) -> Choice:
        """Take what there is to choose, and return what is chosen."""
        self._choices = tuple(choices)
        if self._name not in {one.name for one in choices}:
            self._name = "all"
        self.refresh()
        return choices[self._place]

    def step(self, step: int) -> None:
        """Choose the one so many further on."""
        if self._choices:
            self._choose((self._place + step) % len(self._choices))

    @property
    def _place(self) -> int:
        return next((number for number, one in enumerate(self._choices) if one.name == self._name), 0)

    def _choose(self, place: int) -> None:
        self._name = self._choices[place].name
        self.refresh()
        self.post_message(self.Chosen())

    def on_click(self, event: events.Click) -> None:
        """Choose the one there."""
        at = event.x - self.styles.padding.left
        for place, label in self._labels():
            if 0 <= at < len(label):
                self._choose(place)
                return
            at -= len(label)

    def render(self) -> Text:
        """Write the choices next to each other."""
        text = Text(no_wrap=True, overflow="ellipsis")
        for place, label in self._labels():
            text.append(label, f"bold {palette.ACCENT} reverse" if place == self._place else palette.QUIET)
        return text

    def _labels(self) -> list[tuple[int, str]]:
        """Return what there is to choose, in words; of too many those around the chosen one, which is in brackets."""
        whole_ns = self._choices[0].spent_ns if self._choices else 0
        labels = []
        for place, one in enumerate(self._choices):
            share = f" {percent(one.spent_ns / whole_ns)}" if whole_ns > 0 and place else ""
            labels.append((place, f"[{one.name}{share}]" if place == self._place else f" {one.name}{share} "))
        while len(labels) > 1 and sum(len(label) for place, label in labels if place <= self._place) > self.size.width:
            labels.pop(0)
        return labels
