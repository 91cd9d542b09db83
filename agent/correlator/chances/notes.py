"""What one request says of an opportunity."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["cache", "static", "compress", "reuse-connections", "resume-tls", "overlap-calls", "retries"]


class Note(NamedTuple):
    """It could have been cheaper."""

    kind: Kind
    saved_ns: int
    """What it would have saved, about; 0 where that cannot be told."""
    bytes: int = 0
    example: str = ""
    """What is meant, in a few words; untrusted."""
    spent_ns: int = 0
    """CPU time."""
