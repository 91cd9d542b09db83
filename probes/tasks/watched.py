"""One task that is read again and again: what it awaited last, and what shows that it still does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.memory import Places
from perfwatch.probes.tasks.links import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.probes.cpython.chain import Chain
    from perfwatch.probes.tasks.clients import Client
    from perfwatch.probes.tasks.locks import Locked
    from perfwatch.probes.tasks.routes import Reached

MAX_SEARCHES: Final = 8
"""So often it is looked for whom a task serves; then, as long as it serves nobody, only once in a while."""
SEARCHED_NS: Final = 1_000_000_000
_NOTHING: Final = Places([])


class Watched:
    """A task, by the weak reference that the list of tasks has to it."""

    __slots__ = (
        "_content",
        "_name",
        "_search_ns",
        "_searches",
        "chain",
        "client",
        "glance",
        "id",
        "is_left_out",
        "links",
        "locked",
        "rests_ns",
        "task",
        "turn",
        "used",
    )

    def __init__(self) -> None:
        self.task = 0
        """Its address."""
        self.id = 0
        self._name = b""
        """Tells it from others at this address."""
        self.chain: Chain | None = None
        self.client: Client | None = None
        self.links = NOTHING
        self.used: Reached | None = None
        self.rests_ns = 0
        """Since when it has been as it is."""
        self.locked: Locked | None = None
        """None: it was not looked at."""
        self._searches = self._search_ns = 0
        self.is_left_out = False
        self.turn = 0
        """The reading in which it was looked at last."""
        self.glance = _NOTHING
        """What is read to see whether it is as it was."""
        self._content: bytes | None = None

    def is_same(self, content: bytes | None) -> bool:
        """Whether what was read of `glance` shows that all is as it was."""
        return content is not None and content == self._content

    def forget(self) -> None:
        """Take in that it has changed."""
        self.chain, self.is_left_out, self.links = None, False, NOTHING
        self.locked, self.used = None, None
        self.glance, self._content = _NOTHING, None

    def identify(self, task: int, name: bytes, ids: Iterator[int]) -> None:
        """Take in which task it is; `ids` gives one to a task that was not known."""
        if not self.id or (task, name) != (self.task, self._name):
            self.task, self._name = task, name
            self.id, self.client, self._searches = next(ids), None, 0

    def is_to_be_searched(self, now_ns: int) -> bool:
        """Whether it is to be looked for whom it serves; asked each time before that is done."""
        self._searches += 1
        if self._searches > MAX_SEARCHES and now_ns < self._search_ns:
            return False
        self._search_ns = now_ns + SEARCHED_NS
        return True

    def keep(self, chain: Chain, evidence: Sequence[tuple[int, bytes]]) -> None:
        """Take in what it awaits, and what else shows that it is the same task, serving the same client."""
        self.chain = chain
        self.rests_ns = time.monotonic_ns()
        places = Places([(at, len(data)) for at, data in evidence])
        self.glance = Places.joined([chain.places, places])
        self._content = b"".join([chain.content, *(data for _, data in evidence)])

    def leave_out(self, evidence: Sequence[tuple[int, bytes]]) -> None:
        """Take in that it has ended, or is none that can be read, and what shows that it is still this one."""
        self.is_left_out = True
        self.glance = Places([(at, len(data)) for at, data in evidence])
        self._content = b"".join([data for _, data in evidence])
