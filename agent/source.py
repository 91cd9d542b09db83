"""Where records come from: a live collector or a recording, behind one protocol.

Nothing behind a `Source` knows whether it plays live: a view pulls batches and feeds them to a correlator. After a seek
backwards (or any jump that is not forward) the batch says `restarted`: then the consumer starts a new correlator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from perfwatch.probes.records import Record  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from perfwatch.agent.model import SessionInfo


class Position(msgspec.Struct, frozen=True):
    """Where a source stands in its stream."""

    label: str
    """`live`, `paused`, `replay 4x`, `ended`."""
    now_ns: int
    first_ns: int
    last_ns: int
    paused: bool
    seekable: bool
    note: str | None = None
    """One line about the source itself: `2 of 600 seconds are damaged and left out`."""
    speed: float = 1.0
    """Of a recording: how many of its seconds pass in one."""


class Batch(msgspec.Struct, frozen=True):
    """Records in order of delivery, and where that leaves the source."""

    records: tuple[Record, ...]
    position: Position
    restarted: bool = False
    ended: str | None = None
    """Why nothing more will come (a line to show); None while more may."""


class Source(Protocol):
    """A stream of records that can be pulled; the methods other than `pull` may be called from another thread."""

    @property
    def info(self) -> SessionInfo:
        """What is watched, and how."""
        ...

    def pull(self, timeout_s: float) -> Batch:
        """Wait at most `timeout_s` for records, maybe in vain; raises PerfwatchError if the source breaks."""
        ...

    def pause(self, *, paused: bool) -> None:
        """Hold or resume the stream; a live source goes on collecting."""
        ...

    def seek(self, at_ns: int) -> None:
        """Go to a moment, clamped to the stream; does nothing where the position is not seekable."""
        ...

    def set_speed(self, factor: float) -> None:
        """Play a recording faster or slower than it was recorded; nothing for a live one."""
        ...

    def close(self) -> None:
        """End the stream and whatever runs for it; may be called twice."""
        ...
