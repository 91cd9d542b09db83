"""What can go wrong with a probe: it cannot run here, its subject vanished, the kernel said something strange."""

from __future__ import annotations


class ProbeError(Exception):
    """Any failure of a probe."""


class Unavailable(ProbeError):
    """The probe cannot run on this machine, for this user: why, and what would change that."""

    def __init__(self, reason: str, remedy: str) -> None:
        self.reason, self.remedy = reason, remedy
        super().__init__(f"{reason} ({remedy})")


class Vanished(ProbeError):
    """The process that was measured has ended."""


class Malformed(ProbeError):
    """The kernel, or the target's memory, holds what the parser does not know."""
