"""What one request says of an opportunity."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from perfwatch.agent.model import Chance


class Note(NamedTuple):
    """It could have been cheaper."""

    kind: Chance
    saved_ns: int
    """What it would have saved, about; 0 where that cannot be told."""
    bytes: int = 0
    example: str = ""
    """What is meant, in a few words; untrusted."""
    spent_ns: int = 0
    """CPU time."""
