"""The pages: what can be reached from everywhere by one key. Their screens are wired up in `app.py`."""

from __future__ import annotations

from typing import Final, NamedTuple

from textual.binding import Binding


class Page(NamedTuple):
    """One of the screens that stand beside each other."""

    key: str
    name: str
    about: str
    """For the help."""

    @property
    def binding(self) -> Binding:
        """The key that shows it, and hides it again."""
        return Binding(self.key, f"app.page('{self.name}')", self.about, show=False)


OVERVIEW: Final = "overview"

PAGES: Final = (
    Page("1", OVERVIEW, "overview: how things stand, what is slow and why"),
    Page("8", "flame", "flame graph: where in the code the time went, and why"),
    Page("9", "host", "host: its queues, and who stands in them"),
)
"""In the order of their keys."""
