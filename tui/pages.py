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
    Page("2", "requests", "requests: all that were judged, sorted and filtered"),
    Page("3", "threads", "threads: what each does and did, and where it stands"),
    Page("4", "sockets", "sockets: who waits to be accepted, read or answered"),
    Page("5", "memory", "memory: who holds how much, whether it grows, what the garbage collector does"),
    Page("6", "disk", "disk: how busy, who moves the bytes, what waited for it"),
    Page("7", "calls", "calls: what was asked of whom, how long that took, pools and permits"),
    Page("8", "flame", "flame graph: where in the code the time went, and why"),
    Page("9", "host", "host: each CPU, who uses them, pressure, limits"),
    Page("0", "probes", "probes: what perfwatch costs, what it does not know, the doctor"),
)
"""In the order of their keys."""
