"""One file of a longer recording while it is written: a session with a correlator of its own.

Its verdicts rest on what is in it, so a replay of the file gives the same.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Final

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.service.directory import SUFFIX
from perfwatch.agent.session import place
from perfwatch.agent.session.writer import SessionWriter

if TYPE_CHECKING:
    from pathlib import Path

    from perfwatch.agent.model import Request, SessionInfo
    from perfwatch.agent.service.settings import Settings
    from perfwatch.probes.records import Record

_MS: Final = 1000
_MUCH_BYTES: Final = 512 << 10


class OpenSegment:
    """Raises PerfwatchError where the file cannot be made."""

    MOST_BYTES: ClassVar[int] = 1 << 20
    """What an empty file takes at most."""

    def __init__(self, directory: Path, label: str, info: SessionInfo) -> None:
        self.path = directory / f"{label}-{_moment(info.started_unix_ns)}{SUFFIX}"
        self.writer = SessionWriter(self.path, info)
        self.correlator = Correlator(info)
        self._began_s = time.monotonic()
        self._is_empty = True

    def feed(self, record: Record) -> tuple[Request, ...]:
        """Write a record and the verdicts that it gives; returns the requests that it made judged."""
        self.writer.write(record)
        judged = self.correlator.feed(record)
        for request in judged:
            self.writer.write_verdict(request)
        return judged

    @property
    def is_much(self) -> bool:
        """Whether what was fed is so much that it is to be committed before more is."""
        return self.writer.uncommitted_bytes >= _MUCH_BYTES

    def commit(self) -> None:
        """Make what was fed safe."""
        self.writer.commit()
        self._is_empty = False

    def abandon(self) -> None:
        """Leave the file as of the last commit; one without any is removed."""
        self.writer.abandon()
        if self._is_empty:
            with suppress(OSError):
                place.remove(self.path)

    def is_over(self, settings: Settings) -> bool:
        """Whether it is as long, or as large, as a segment is to be."""
        if time.monotonic() - self._began_s >= settings.segment_s:
            return True
        return self.writer.bytes_written + self.writer.wal_bytes >= settings.segment_bytes


def _moment(unix_ns: int) -> str:
    """`20261127T131205.123Z`: names sort by time."""
    whole, rest = divmod(unix_ns // 1_000_000, _MS)
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(whole))}.{rest:03d}Z"
