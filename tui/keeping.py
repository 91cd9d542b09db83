"""Screens that are made once, ahead of time, and shown again and again: making takes ten times as long as showing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import on
from textual.events import Resize, ScreenSuspend

from perfwatch.tui import interpreter
from perfwatch.tui.habits import Habits
from perfwatch.tui.messages import DetailWanted
from perfwatch.tui.travel import Traveller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.screen import Screen
    from textual.timer import Timer

    from perfwatch.tui.screens.base import DetailScreen, FrameScreen

_PAUSE_S: Final = 0.4
"""Between two screens that are made ahead: each takes the time of some frames."""


class Keeper(Traveller):
    """Keeps one screen of each page and of each kind of detail."""

    PAGE_KINDS: ClassVar[Mapping[str, type[FrameScreen]]] = {}
    """Of each page but the overview, which always lies below."""
    DETAIL_KINDS: ClassVar[Mapping[type[DetailScreen[Any]], Any]] = {}
    """Those that are made ahead, and of what they are until then: of something that does not exist."""

    def __init__(self, habits: Habits = Habits()) -> None:  # noqa: B008 - it is frozen
        super().__init__(habits)
        self._pages: dict[str, FrameScreen] = {}
        self._details: dict[type[DetailScreen[Any]], DetailScreen[Any]] = {}
        self._making: Timer | None = None

    def page_of(self, name: str) -> FrameScreen:
        """Return the screen of a page."""
        if name not in self._pages:
            page = self._pages[name] = self.PAGE_KINDS[name](self.frame)
            page.page = name
            self.install_screen(page, name)
        return self._pages[name]

    @on(DetailWanted)
    async def _show_detail(self, message: DetailWanted[Any]) -> None:
        with self.batch_update():  # one paint, of the screen when it is whole
            screen = self._detail_of(message.kind, message.subject)
            is_made, is_half_made = screen.is_mounted, screen.is_running and not screen.is_mounted
            if is_made:
                screen.begin(message.subject, self.frame)
            await self.push_screen(screen)
            if is_half_made:
                screen.begin(message.subject, self.frame)

    def _detail_of(self, kind: type[DetailScreen[Any]], subject: object) -> DetailScreen[Any]:
        kept = self._details.get(kind)
        if kept is not None and kept not in self.screen_stack:
            return kept
        screen = kind(subject, self.frame)
        if kept is None:
            self._details[kind] = screen
            self.install_screen(screen, kind.__name__)
        return screen

    def make_ahead(self) -> None:
        """Make all screens, one after the other, while nothing else is to be done."""
        if self._making is None:
            self._making = self.set_interval(_PAUSE_S, self._make_next)

    def _make_next(self) -> None:
        details = (kind for kind in self.DETAIL_KINDS if kind not in self._details)
        if (kind := next(details, None)) is not None:
            self._make(self._detail_of(kind, self.DETAIL_KINDS[kind]))
        elif (name := next((name for name in self.PAGE_KINDS if name not in self._pages), None)) is not None:
            self._make(self.page_of(name))
        elif self._making is not None:
            self._making.pause()
            interpreter.stand()

    def _make(self, screen: Screen[Any]) -> None:
        """Mount a screen and lay it out where nobody sees it, as one that was left."""
        self._get_screen(screen)
        screen.post_message(ScreenSuspend())
        screen.post_message(Resize(self.size, self.size))

    def kept_screens(self) -> tuple[FrameScreen, ...]:
        """Return what was made so far."""
        return (*self._pages.values(), *self._details.values())

    def drop_screens(self) -> None:
        """Remove all that is kept."""
        if self._making is not None:
            self._making.stop()
            self._making = None
        for screen in self.kept_screens():
            self.uninstall_screen(screen)
            screen.remove()
        self._pages.clear()
        self._details.clear()
