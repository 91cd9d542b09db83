"""The files of one recording that goes on: one after the other, each a session of its own with its own verdicts.

What was committed stays whatever happens. Where nothing can be written, because the disk or the directory's size is
full, that is told once, the newest records wait in memory, and a new segment begins with them when there is room again.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.recording import COMMIT_S
from perfwatch.agent.service.keeping import Keeping
from perfwatch.agent.service.room import Room
from perfwatch.agent.service.segment import OpenSegment
from perfwatch.probes.records import Loss

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perfwatch.agent.export.live import Live
    from perfwatch.agent.model import SessionInfo
    from perfwatch.agent.service.directory import Directory
    from perfwatch.agent.service.settings import Settings
    from perfwatch.probes.records import Record

RETRY_S: Final = 2.0
MAX_WAITING: Final = 20_000
"""Records that wait for room; then the oldest are lost, and the next segment says so."""
_ROOM_BYTES: Final = 2_000_000
"""Free on the disk before a new segment is tried: what a segment takes, and its first seconds."""
CONTINUED: Final = "continued in the next segment"


class _Waiting(NamedTuple):
    """A record that is not safe yet, and whether others were told of it already."""

    record: Record
    is_told: bool


class Segments:
    """Takes one stream; `say` is told each event in one line. One thread uses it."""

    def __init__(  # noqa: PLR0913 - who takes part in it
        self,
        label: str,
        info: SessionInfo,
        directory: Directory,
        settings: Settings,
        say: Callable[[str], None],
        *,
        live: Live | None = None,
    ) -> None:
        self._label, self._info, self._directory, self._settings, self._say = label, info, directory, settings, say
        self._live = live
        self._room = room = Room(directory, settings)
        self._waiting: deque[_Waiting] = deque()  # not committed; of an open segment: fed to it
        self._lost = 0
        self._open: OpenSegment | None = None
        self._keeping = Keeping(room, settings, say)
        self._is_short = False  # of room, and that was told
        self._due_s = 0.0
        self._retry()

    def take(self, batch: Sequence[Record]) -> None:
        """Take what came since; committed about once a second, at once where it is worth keeping."""
        for record in batch:
            self._take(record)
        if self._live is not None and self._open is not None:
            self._live.beat(self._open.correlator)
        is_urgent = self._open is not None and self._keeping.is_urgent
        if is_urgent or time.monotonic() >= self._due_s:
            self._settle()

    def keep(self, why: str) -> None:
        """Keep the segment that is being written for good, whatever is in it."""
        self._keeping.note(why, time.monotonic_ns())

    def close(self, ended: str) -> None:
        """Write what is left, and finish the file."""
        if self._open is None:
            self._retry()
        segment = self._open
        if segment is not None:
            is_written = self._commit(segment)
            if self._live is not None:
                self._live.finish(segment.correlator)
            if is_written:
                self._end(segment, ended)
        if self._waiting:
            self._say(f"{len(self._waiting)} records of {self._label} could not be written: there was no room")

    def _settle(self) -> None:
        """Make what came so far safe; begin the next segment where it is time to."""
        self._due_s = time.monotonic() + COMMIT_S
        if self._open is None:
            self._retry()
        elif self._commit(self._open) and self._open.is_over(self._settings):
            self._end(self._open, CONTINUED)
            self._begin()
            self._sweep()

    def _commit(self, segment: OpenSegment) -> bool:
        try:
            with self._room.claimed(segment.writer.most_bytes):
                segment.commit()
            self._waiting.clear()
            self._keeping.mark(segment)
        except PerfwatchError as why:
            self._interrupt(segment, why)
            return False
        if self._is_short:
            self._is_short = False
            self._say(f"there is room again: {self._label} is recorded into {segment.path.name}")
        return True

    def _take(self, record: Record, *, is_told: bool = False) -> None:
        """Feed a record to the open segment; without one it waits."""
        while self._open is None and len(self._waiting) >= MAX_WAITING:
            self._lose(self._waiting.popleft())
        self._waiting.append(_Waiting(record, is_told))
        segment = self._open
        if segment is None:
            return
        try:
            judged = segment.feed(record)
            if self._live is not None:
                self._live.take(record, segment.correlator, judged, is_told=is_told)
            self._waiting[-1] = _Waiting(record, is_told=True)
            self._keeping.look(record, judged)
        except PerfwatchError as why:  # it became so much that it was committed at once
            self._interrupt(segment, why)
            return
        if segment.is_much:
            self._commit(segment)

    def _lose(self, waiting: _Waiting) -> None:
        """Count a record that there is no room for; one that says what was lost is as much as that."""
        record, is_told = waiting
        lost, is_counted = (record.lost, is_told) if isinstance(record, Loss) else (1, False)
        self._lost += lost
        if self._live is not None and not is_counted:
            self._live.lose(lost)

    def _end(self, segment: OpenSegment, ended: str) -> None:
        """Finish a file, or leave it unfinished where there is no room for even that."""
        try:
            with self._room.claimed(segment.writer.most_bytes):
                segment.writer.close(ended)
        except PerfwatchError as why:
            self._interrupt(segment, why)
        self._open = None

    def _begin(self) -> None:
        try:
            self._open = self._started()
        except PerfwatchError as why:
            self._tell_short(why)

    def _sweep(self) -> None:
        with suppress(PerfwatchError):  # the service does it, too
            self._room.sweep()

    def _retry(self) -> None:
        """Begin a segment with what waits."""
        self._due_s = time.monotonic() + RETRY_S
        if self._is_short and self._directory.free_bytes() < _ROOM_BYTES:
            return
        self._begin()
        segment = self._open
        if segment is None:
            return
        waiting, lost = tuple(self._waiting), self._lost
        self._waiting.clear()
        self._lost = 0
        if lost:
            self._take(Loss(time.monotonic_ns(), "recorder", lost, "there was no room for them"), is_told=True)
        for record, is_told in waiting:
            self._take(record, is_told=is_told)
        if self._open is segment:
            self._commit(segment)

    def _started(self) -> OpenSegment:
        previous = self._keeping.last
        now_ns, unix_ns = time.monotonic_ns(), time.time_ns()
        info = msgspec.structs.replace(
            self._info, started_ns=now_ns, started_unix_ns=unix_ns, previous=previous.name if previous else None
        )
        with self._room.claimed(OpenSegment.MOST_BYTES):
            segment = OpenSegment(self._directory.path, self._label, info)
        self._keeping.begin(segment, now_ns)
        return segment

    def _interrupt(self, segment: OpenSegment, why: PerfwatchError) -> None:
        segment.abandon()
        self._open = None
        self._tell_short(why)

    def _tell_short(self, why: PerfwatchError) -> None:
        if not self._is_short:
            self._say(f"{why}; the newest records of {self._label} wait in memory until there is room")
        self._is_short = True
