"""Connections that the process opened itself, and who uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perfwatch.probes.ledger.addresses import Address
    from perfwatch.probes.ledger.following.habits import Act
    from perfwatch.probes.ledger.following.ways import Way


class Connection:
    """One of them, since it was used last."""

    __slots__ = ("act", "asked_ns", "certain", "is_answered", "is_seen", "local", "owner")

    def __init__(
        self, owner: Way | None, act: Act, asked_ns: int, local: Address | None = None, *, certain: bool
    ) -> None:
        self.owner = owner
        self.act = act
        self.asked_ns = asked_ns
        self.local = local
        self.certain = certain
        self.is_answered = False
        """A part of the answer was received."""
        self.is_seen = False
        """A task was seen to wait on it."""
