"""What the command palette offers: the pages, whatever has a key here, and the themes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from perfwatch.tui.theme import THEMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Command(NamedTuple):
    words: str
    key: str
    run: Callable[[], object]

    def shown(self, words: Content) -> Content:
        """Write its key behind the words."""
        return Content.assemble(words, "  ", (self.key, "$accent"))


class Commands(Provider):
    """Made from the bindings of the screen that it was called on; those of a list, such as the next row, come last."""

    async def discover(self) -> Hits:
        """Offer everything."""
        for command in self._commands():
            yield DiscoveryHit(command.shown(Content(command.words)), command.run, command.words)

    async def search(self, query: str) -> Hits:
        """Offer what has these letters in it, in their order."""
        matcher = self.matcher(query)
        for command in self._commands():
            if (score := matcher.match(command.words)) > 0:
                yield Hit(score, command.shown(matcher.highlight(command.words)), command.run, command.words)

    def _commands(self) -> Iterator[_Command]:
        seen = {"command_palette"}
        active_bindings = self.screen.active_bindings.items()
        for key, active in sorted(active_bindings, key=lambda one: one[1].node is self.screen.focused):
            binding = active.binding
            if active.enabled and binding.id and binding.action not in seen:
                seen.add(binding.action)
                press = partial(self.app.simulate_key, key)
                yield _Command(binding.description, self.app.get_key_display(binding), press)
        for name, about in THEMES.items():
            choose = partial(self.app.run_action, f"app.theme('{name}')")
            yield _Command(f"theme {name}: {about}", "", choose)
