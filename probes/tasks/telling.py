"""How tasks are told: each with the stack of its coroutines, and each stack once.

The chain of one that waits for a single other task (`wait_for` up to 3.11, a `gather` of one) goes on into that: then
it is the same chain as on later versions, where no other task is begun for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.interning import Interner
from perfwatch.probes.frames import MAX_FRAMES, StackTable, Task
from perfwatch.probes.tasks.locks import FREE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.cpython.codes import Codes
    from perfwatch.probes.cpython.frame_form import Stack
    from perfwatch.probes.tasks.watched import Watched

MAX_JOINED: Final = 8
"""So many tasks, each waiting for the next, are told as one chain."""


class Telling:
    """Tells the tasks of one record. Its methods raise Vanished or Unavailable, as `Codes` does."""

    def __init__(self, codes: Codes, tasks: Sequence[Watched]) -> None:
        self._codes = codes
        self._interner = Interner()
        # Of two at one address the one that was followed last is the one that is there.
        self._by_address = {each.task: each for each in tasks}

    def task(self, watched: Watched, client: str | None) -> Task | None:
        """Return a task that serves a client; None if its chain is not known, or executes no code."""
        stack, awaits, used = self._whole(watched)
        place = self._interner.place(stack) if stack else None
        if place is None:
            frames = [frame for code, position in stack if (frame := self._codes.frame(code, position))]
            if not stack or len(frames) < len(stack):
                return None
            place = self._interner.add(stack, frames)
        locked = watched.locked or FREE
        address, _, path = client.partition(" ") if client else (None, "", "")
        return Task(watched.id, address, place, awaits, *locked, target=path or None, used=used)

    def table(self) -> StackTable:
        """Return the stacks of the tasks that were told."""
        return self._interner.table()

    def _whole(self, watched: Watched) -> tuple[Stack, str | None, str | None]:
        """Return all that a task awaits, by way of others too, the innermost first, and what that waits for."""
        chain = watched.chain
        stack, awaits = (chain.stack, chain.awaits) if chain else ((), None)
        for _ in range(MAX_JOINED):
            following = self._by_address.get(watched.links.next)
            if following is None or following.chain is None:
                break
            watched = following
            stack, awaits = following.chain.stack + stack, following.chain.awaits
        return stack[:MAX_FRAMES], awaits, watched.used.text if watched.used else None
