"""Where records come from: a live collector or a recording, behind one protocol.

Nobody who consumes a `Source` knows whether it plays live: a view pulls batches and feeds them to a correlator. After a
jump the batch says `restarted`: then the consumer starts a new correlator. While the view of a live stream stands at an
earlier moment, what comes meanwhile is `newest`: it goes to the correlator that has followed the stream from its start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from perfwatch.agent.playing import Window  # noqa: TC001 - msgspec reads the annotations
from perfwatch.probes.records import Record  # noqa: TC001 - as above

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from perfwatch.agent.marks import Marks
    from perfwatch.agent.model import SessionInfo


class Position(msgspec.Struct, frozen=True):
    """Where a source stands in its stream."""

    label: str
    """`live`, `paused`, `replay 4x`, `following` (at the end of what is still being recorded), `ended`."""
    now_ns: int
    first_ns: int
    last_ns: int
    paused: bool
    seekable: bool
    note: str | None = None
    """One line about the source itself: `2 of 600 seconds are damaged and left out`."""
    speed: float = 1.0
    """How many seconds of what is kept pass in one."""
    behind: bool = False
    """The stream goes on, and the view stands at an earlier moment of it."""
    since_ns: int | None = None
    """What lay before this is not in the view; None where it has seen all."""
    window: Window | None = None
    """The view is that of this stretch."""


class Batch(msgspec.Struct, frozen=True):
    """Records in order of delivery, and where that leaves the source."""

    records: tuple[Record, ...]
    position: Position
    restarted: bool = False
    ended: str | None = None
    """Why nothing more will come (a line to show); None while more may."""
    is_filling: bool = False
    """More is due already: after a restart the picture is not complete yet."""
    newest: tuple[Record, ...] = ()
    """While the view stands behind: what came at the end of the stream."""


class Source(Protocol):
    """A stream of records that can be pulled; the methods other than `pull` may be called from another thread."""

    path: Path | None
    """The session file that it comes from, or is recorded to."""
    marks: Marks
    """Of the whole stream, as far as they are known yet."""

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
        """Go to a moment, clamped to the stream, and leave a window; the end of a live stream is live again."""
        ...

    def select(self, window: Window) -> None:
        """Show this stretch and nothing else, until a seek."""
        ...

    def cut(self, window: Window) -> Iterator[Record]:
        """Yield the records of a stretch that is kept, whatever the view does meanwhile; for a thread of its own."""
        ...

    def step(self, step: int) -> None:
        """Go to the reading after this moment, or the one before it."""
        ...

    def set_speed(self, factor: float) -> None:
        """Play what is kept faster or slower than it came; the end of a live stream has the speed of time."""
        ...

    def close(self) -> None:
        """End the stream and whatever runs for it; may be called twice."""
        ...
