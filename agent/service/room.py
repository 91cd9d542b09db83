"""Room for what comes: the oldest segments go when they are too old, or the directory would grow beyond its size.

What is being recorded, and what is kept for good, stays. `claimed` is held while something is written that takes so
many bytes at most: so the size holds at every moment, whoever else records into the directory.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.service.amounts import told_bytes
from perfwatch.agent.service.directory import remove

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.service.directory import Contents, Directory, Segment
    from perfwatch.agent.service.settings import Settings

KEPT_SHARE: Final = 0.5
"""Of the whole, for what the recorder keeps for good: the rest goes on."""


class Room:
    """What is left of the directory's size."""

    def __init__(self, directory: Directory, settings: Settings) -> None:
        self._directory, self._settings = directory, settings

    @contextmanager
    def claimed(self, most_bytes: int) -> Iterator[None]:
        """Have so much room while something is written; raises PerfwatchError where it cannot be made."""
        with self._directory.locked():
            self._make(most_bytes)
            yield

    def may_keep(self) -> bool:
        """Whether what is kept for good leaves the rest its share; the last one counts in full."""
        kept = sum(one.size_bytes for one in self._directory.contents().segments if one.is_kept)
        return kept <= self._settings.total_bytes * KEPT_SHARE

    def sweep(self) -> None:
        """Remove what is too old, and what killed processes left."""
        with self._directory.locked():
            contents = self._directory.contents()
            for draft in contents.drafts:
                with suppress(OSError):
                    draft.unlink()
            retain_s = self._settings.retain_s
            if retain_s is None:
                return
            limit_s = time.time() - retain_s
            for segment in contents.segments:
                if segment.ended_s < limit_s and not segment.is_live and not segment.is_kept:
                    remove(segment)

    def _make(self, most_bytes: int) -> None:
        contents = self._directory.contents()
        excess = contents.total_bytes + most_bytes - self._settings.total_bytes
        if excess > 0:
            self._free(contents, excess)

    def _free(self, contents: Contents, excess: int) -> None:
        """Remove the oldest until so many bytes are free; none where even all of them would not do."""
        going: list[Segment] = []
        for segment in contents.segments:
            if excess <= 0:
                break
            if not (segment.is_live or segment.is_kept):
                going.append(segment)
                excess -= segment.size_bytes
        if excess > 0:
            size = told_bytes(self._settings.total_bytes)
            raise PerfwatchError(
                f"{self._directory.path} has its {size}, of what is being recorded and what is kept for good",
                "move kept segments away, or give it a larger --max-size",
            )
        for segment in going:
            remove(segment)
