"""A session as a tape that may still grow: while it is recorded, what is committed comes as it comes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from perfwatch.agent.playing import Reach
    from perfwatch.agent.session.reader import SessionReader
    from perfwatch.probes.records import Record

LOOK_S: Final = 0.25
"""Between two looks whether something came: a recorder commits about once a second."""


class Following:
    """A `Tape` over a session file, for the thread that reads it."""

    def __init__(self, reader: SessionReader, grown: Callable[[], None] = lambda: None) -> None:
        """`grown` is called when the session has become longer."""
        self._reader, self._grown = reader, grown
        self._looked_s = time.monotonic()

    @property
    def first_ns(self) -> int:
        """Earliest moment."""
        return self._reader.first_ns

    @property
    def last_ns(self) -> int:
        """Latest one that was committed."""
        return self._reader.last_ns

    def begin(self, at_ns: int, reach: Reach) -> int:
        """Return where to begin, to know what lay within reach before a moment."""
        return self._reader.begin(at_ns, reach)

    def records(self, start_ns: int | None = None) -> Iterator[Record | None]:
        """Yield the sound records in order of delivery; None where no more has come yet."""
        number = self._reader.last_number
        yield from self._reader.records(start_ns)
        is_live = True
        while is_live:
            is_live = self._reader.is_live  # before the look: what was committed at the very end is not missed
            self.look()
            for second in self._reader.seconds_after(number):
                yield from (record for record in second.records if start_ns is None or record.at_ns >= start_ns)
            number = self._reader.last_number
            yield None

    def look(self) -> None:
        """See what was committed since; now and then."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            if self._reader.refresh():
                self._grown()
