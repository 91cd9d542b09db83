"""What every probe is: a context manager that measures one thing and yields records.

`availability` says beforehand whether it can run here; opening attaches it, closing leaves nothing behind, however it
ends. A probe knows nothing of requests' causes, files or screens, and nothing of other probes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, Self

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from perfwatch.probes.records import Record


class Availability(msgspec.Struct, frozen=True):
    """Whether a probe can run here, for this user, on this target."""

    status: Literal["available", "limited", "unavailable"]
    """`limited`: it runs, and some of its fields stay None."""
    reason: str | None = None
    """One line, for `limited` and `unavailable`."""
    lost: str | None = None
    """What perfwatch does not know then: `retransmits and round-trip times`."""
    remedy: str | None = None
    """The command or setting that would help."""


AVAILABLE = Availability("available")


class Probe(Protocol):
    """One source of records; used by one thread."""

    name: str
    period_s: float
    """How often `read` wants to be called; whoever runs the probe may set it, also while it runs."""

    def availability(self) -> Availability:
        """Look, without attaching to anything, whether it can run here; also before it is entered. Never raises."""
        ...

    def __enter__(self) -> Self:
        """Attach; raises Unavailable with reason and remedy."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing behind, in the kernel or in the target."""
        ...

    def read(self, now_ns: int) -> Sequence[Record]:
        """Return what was measured since the last call; `now_ns` is the monotonic time, and becomes their `at_ns`."""
        ...
