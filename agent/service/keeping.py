"""Keeps segments for good: by a bookmark that says why, in the one where it happened and in the one before it.

The one before has what led to it, however early in its segment it happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent import bookmarks
from perfwatch.agent.bookmarks import Bookmark, Bookmarks
from perfwatch.agent.service import triggers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from perfwatch.agent.model import Request
    from perfwatch.agent.service.room import Room
    from perfwatch.agent.service.segment import OpenSegment
    from perfwatch.agent.service.settings import Settings
    from perfwatch.probes.records import Record

MAX_MARKS: Final = 50
"""In one segment: it is kept by the first."""
_APART_NS: Final = 1_000_000_000
_MOST_BYTES: Final = 2 * (bookmarks.MAX_BYTES // 16)
"""Two small files of bookmarks, and their drafts."""


class Keeping:
    """What is worth keeping in the stream of one recording."""

    def __init__(self, room: Room, settings: Settings, say: Callable[[str], None]) -> None:
        self._room, self._triggers, self._say = room, settings.keep_on, say
        self._new: list[Bookmark] = []
        self._count = 0
        self._next_ns = 0
        self._is_refused = False  # and that was told
        self._before: Path | None = None
        self._before_ns = 0
        self.last: Path | None = None
        """The file that is being written, or was last."""

    @property
    def is_urgent(self) -> bool:
        """Whether a segment has something to keep that nobody knows of yet."""
        return bool(self._new) and self._count == 0

    def begin(self, segment: OpenSegment, at_ns: int) -> None:
        """Let a file begin; what was worth keeping and not written yet is in it, too."""
        self._before, self._before_ns = self.last, at_ns
        self.last, self._count = segment.path, 0

    def look(self, record: Record, judged: Sequence[Request]) -> None:
        """See whether a record is worth keeping."""
        if self._triggers and record.at_ns >= self._next_ns and self._count < MAX_MARKS:
            why = triggers.found(self._triggers, record, judged)
            if why is not None:
                self.note(why, record.at_ns)

    def note(self, why: str, at_ns: int) -> None:
        """Keep the segment, for that reason."""
        self._new.append(Bookmark(at_ns, why[: bookmarks.MAX_NOTE_CHARS]))
        self._next_ns = at_ns + _APART_NS

    def mark(self, segment: OpenSegment) -> None:
        """Set the bookmarks that are due; raises PerfwatchError where there is no room for them."""
        if not self._new or self._refuses():
            self._new = []
            return
        with self._room.claimed(_MOST_BYTES):
            if self._count == 0 and self._before is not None and self._before.exists():
                _set(self._before, Bookmark(self._before_ns, f"before: {self._new[0].note}"))
            for bookmark in self._new:
                _set(segment.path, bookmark)
        if self._count == 0:
            self._say(f"kept for good: {segment.path.name} ({self._new[0].note})")
        self._count += len(self._new)
        self._new = []

    def _refuses(self) -> bool:
        """Whether what is kept has its share already; that is told once, until there is room again."""
        refused = self._count == 0 and not self._room.may_keep()
        if refused and not self._is_refused:
            self._say(
                "what is kept for good has its half of --max-size: more stays only as long as the rest "
                "(move kept segments away, or remove their bookmarks)"
            )
        self._is_refused = refused
        return refused


def _set(path: Path, bookmark: Bookmark) -> None:
    Bookmarks(path).add(bookmark.at_ns, bookmark.note)
