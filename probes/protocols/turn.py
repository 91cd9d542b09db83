"""One turn of a conversation: what is said before the other side answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from perfwatch.probes.records import Protocol

CUT: Final = "…"
"""Ends an operation of which more was sent than is there."""
MAX_NAMES: Final = 100
"""So many prepared statements of a connection are remembered; asyncpg and psycopg keep as many."""


class Turn(msgspec.Struct, frozen=True):
    """What the first bytes sent say."""

    protocol: Protocol
    operation: str | None = None
    kind: Literal["call", "publish"] = "call"
    phase: Literal["asking", "opening", "chatter"] = "asking"
    """`opening`: it belongs to the setting up of the connection (a handshake, a login); `chatter`: it asks for nothing
    (a window update, a heartbeat, a goodbye)."""


class Memory:
    """What earlier bytes of a connection said that later ones refer to; bounded."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self.preparing: str | None = None
        """The operation of a statement whose number the answer will give."""
        self.handshake: Literal["none", "begun", "said", "over"] = "none"
        """Of TLS; `said`: this side has said all, and the other one, in TLS 1.2, may have the last word."""

    def remember(self, name: str, operation: str) -> None:
        """Keep what a prepared statement does; of too many the one that was prepared first is dropped."""
        self._names.pop(name, None)
        if len(self._names) >= MAX_NAMES:
            del self._names[next(iter(self._names))]
        self._names[name] = operation

    def recall(self, name: str) -> str | None:
        """Return what it does; None where it was prepared before anybody looked."""
        return self._names.get(name)


class Said(msgspec.Struct, frozen=True):
    """The first bytes of what was sent, and what is known beside them."""

    head: bytes
    size: int
    """Of all that was sent."""
    known: bool
    """The connection speaks this protocol, as its port or earlier bytes say: a weaker likeness will do."""
    memory: Memory

    @property
    def cut(self) -> bool:
        """Whether more was sent than is here."""
        return self.size > len(self.head)


def marked(text: str, *, cut: bool) -> str:
    """Return the text, with the mark that more followed where it did."""
    return text + CUT if cut and not text.endswith(CUT) else text
