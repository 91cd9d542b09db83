"""Stacks, each told once in a record: how the table of a record is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.probes.frames import Frame, StackTable

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


class Interner:
    """Collects the stacks of one record, by any key that stands for a stack."""

    def __init__(self) -> None:
        self._frames: dict[Frame, int] = {}
        self._stacks: dict[tuple[int, ...], int] = {}
        self._known: dict[Hashable, int] = {}

    def place(self, key: Hashable) -> int | None:
        """Return the place of a stack that was added under a key; None if none was."""
        return self._known.get(key)

    def add(self, key: Hashable, frames: Sequence[Frame]) -> int:
        """Add a stack, and return its place."""
        stack = tuple(self._frames.setdefault(frame, len(self._frames)) for frame in frames)
        place = self._stacks.setdefault(stack, len(self._stacks))
        self._known[key] = place
        return place

    def table(self) -> StackTable:
        """Return what was added."""
        return StackTable(tuple(self._frames), tuple(self._stacks))
