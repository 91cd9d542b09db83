"""Reads a session, also one that is being recorded, was cut off or is damaged: what is sound, and nothing else."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Self

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.model import unknown_info
from perfwatch.agent.session import fetch, lock
from perfwatch.agent.session.index import Index
from perfwatch.agent.session.opening import open_session
from perfwatch.agent.session.places import Places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

    from perfwatch.agent.marks import Marks
    from perfwatch.agent.model import SessionInfo
    from perfwatch.agent.playing import Reach
    from perfwatch.agent.session.stored import Second, StoredVerdict
    from perfwatch.probes.records import Record


class SessionReader:
    """A session that is open for reading. What is sound in it can be iterated over as often as one likes.

    It shows what was committed when it was opened, or when it was refreshed last. Damage is found while reading: `note`
    counts what was met so far. Not for several threads at once, but not bound to one either.
    """

    def __init__(self, path: Path, *, is_salvaged: bool = False) -> None:
        """`is_salvaged`: where it does not even say what it is, it is read all the same, as of an unknown process."""
        self._path, self._is_salvaged = path, is_salvaged
        self.is_described = True
        self._opened = open_session(path)
        self._is_live, self._is_followed = self._opened.is_live, False
        self._db = self._opened.db
        try:
            self._read_frame()
        except BaseException:
            self.close()
            raise

    def _read_frame(self) -> None:
        """Read what frames the seconds: the session's own words, its end, and which seconds there are."""
        try:
            said = fetch.info(self._db)
        except fetch.UNSOUND:
            if not self._is_salvaged:
                raise PerfwatchError(f"{self._path} is damaged: what it says of itself cannot be trusted") from None
            said, self.is_described = unknown_info(), False
        try:
            self._ending, self._is_end_sound = fetch.ending(self._db), True
        except fetch.UNSOUND:
            self._ending, self._is_end_sound = None, False
        self._damaged: set[int] = set()
        self._places = Places(fetch.places(self._db))
        self._info = said.with_clocks(fetch.clocks(self._db, self._opened.format))
        first, last = self._edge(self._places.numbers), self._edge(reversed(self._places.numbers))
        self._has_records = first is not None
        self._first_ns = min(r.at_ns for r in first.records) if first else self._info.started_ns
        self._end_with(last)

    def _end_with(self, last: Second | None) -> None:
        """Take in the last second that has records."""
        self._last_ns = max(self._first_ns, *(r.at_ns for r in last.records)) if last else self._first_ns
        self._total = self._ending.seconds if self._ending else self._count(last)

    def refresh(self) -> bool:
        """See what was committed since, where it is being recorded; tells whether that was something."""
        if not self._is_live or self._opened.note:
            return False
        self._is_followed = True
        is_locked = lock.is_locked(self._path.resolve())  # asked first: what follows is all, if it is not
        try:
            newer = fetch.places_after(self._db, self.last_number)
            self._ending = fetch.ending(self._db)
        except fetch.UNSOUND:
            return False
        self._is_live = is_locked and self._ending is None
        if not newer and self._ending is None:
            return False
        since = self.last_number + 1
        self._places.extend(newer)
        self._info = self._info.with_clocks(fetch.clocks(self._db, self._opened.format, since))
        if not self._has_records:
            first = self._edge(self._places.numbers)
            self._has_records = first is not None
            self._first_ns = min(r.at_ns for r in first.records) if first else self._first_ns
        self._end_with(self._edge(reversed(self._places.numbers)))
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def info(self) -> SessionInfo:
        """What the session says of itself."""
        return self._info

    @property
    def finished(self) -> bool:
        """Whether the recording was closed, and is all here."""
        return self._ending is not None

    @property
    def is_live(self) -> bool:
        """Whether somebody was recording into it when it was opened, or refreshed."""
        return self._is_live

    @property
    def last_number(self) -> int:
        """Number of the last second that is known; 0 where there is none."""
        return self._places.last_number

    def seconds_after(self, number: int) -> Iterator[Second]:
        """Yield the sound seconds after the one of a number."""
        return self._sound(self._places.after(number))

    @property
    def version(self) -> int:
        """Number of its format."""
        return self._opened.version

    @property
    def totals(self) -> tuple[int, int | None]:
        """How many seconds and records were recorded; None where it was not finished, and nobody can say."""
        return self._total, self._ending.records if self._ending else None

    @property
    def ended(self) -> str | None:
        """Why the recording ended; None if it was not finished."""
        return self._ending.ended if self._ending else None

    @property
    def is_damaged(self) -> bool:
        """Whether something that was recorded is known to lack, by now."""
        return bool(self._lost) or not self._is_end_sound

    def counted(self) -> tuple[int, int]:
        """Return how many records and verdicts there are, as the rows of seconds say."""
        try:
            return fetch.counted(self._db)
        except fetch.UNSOUND:
            return 0, 0

    @property
    def note(self) -> str | None:
        """One line about what is missing, as far as it is known yet; None if nothing is."""
        notes = [self._opened.note, self._end_note(), self._damage_note()]
        return "; ".join(filter(None, notes)) or None

    @property
    def first_ns(self) -> int:
        """Earliest time in the first sound second; of a session without any: when it was started."""
        return self._first_ns

    @property
    def last_ns(self) -> int:
        """Latest time in the last sound second."""
        return self._last_ns

    def records(self, start_ns: int | None = None) -> Iterator[Record]:
        """Yield the sound records in order of delivery, second by second; from `start_ns` on where it is given."""
        if start_ns is None:
            for second in self.seconds():
                yield from second.records
            return
        for second in self.seconds(start_ns):
            yield from (record for record in second.records if record.at_ns >= start_ns)

    def seconds(self, start_ns: int | None = None) -> Iterator[Second]:
        """Yield the sound seconds that are known now, in order; from the one of a moment on, or the one before it."""
        return self._sound(self._places.numbers[:] if start_ns is None else self._places.since(start_ns))

    def begin(self, at_ns: int, reach: Reach) -> int:
        """Return where to begin, to know what lay within reach before a moment; by the rows, unchecked."""
        return max(self._first_ns, reach.begin(at_ns, self._places.spans_until(at_ns)))

    def verdicts(self) -> Iterator[StoredVerdict]:
        """Yield the verdicts that were given live, in their order."""
        for second in self._sound(self._places.numbers):
            yield from second.verdicts

    def index(self, marks: Marks) -> Index:
        """Return what reads the marks of the whole session, step by step."""
        return Index(self._db, self._opened.format, self._places.numbers, marks)

    def close(self) -> None:
        """Close the file. May be called again."""
        self._db.close()

    def _sound(self, numbers: Iterable[int]) -> Iterator[Second]:
        """Yield the sound ones of these seconds, each with records of its own."""
        next_seq = 0
        for number in numbers:
            second = self._load(number)
            if second is None:
                continue
            if second.head.first_seq < next_seq:
                self._damaged.add(number)
                continue
            next_seq = second.head.first_seq + second.head.records
            yield second

    def _load(self, number: int) -> Second | None:
        """Return a second if it is sound, else count it; what was damaged once stays out."""
        if number in self._damaged:
            return None
        try:
            return fetch.second(self._db, self._opened.format, number)
        except sqlite3.ProgrammingError:  # the reader was closed
            raise
        except fetch.UNSOUND:
            self._damaged.add(number)
            return None

    def _edge(self, numbers: Iterable[int]) -> Second | None:
        """Return the first of these seconds that is sound and has records."""
        found = (self._load(number) for number in numbers)
        return next((second for second in found if second and second.records), None)

    def _count(self, last: Second | None) -> int:
        """Return how many seconds there were, where no ending says it: only a sound one's number can be trusted."""
        if last is None:
            return len(self._places.numbers)
        return last.head.number + len(self._places.after(last.head.number))

    def _end_note(self) -> str | None:
        if self.finished or self._opened.note:  # whether it was finished may stand in what cannot be read
            return None
        if not self._is_end_sound:
            return "damaged: how it ended cannot be told"
        if self._is_live:
            more = "what comes is followed" if self._is_followed else "this is what it held when it was opened"
            return f"still being recorded: {more}"
        return "cut off: it was never finished, and its last second may be missing"

    def _damage_note(self) -> str | None:
        return f"{self._lost} of {self._total} seconds are damaged and left out" if self._lost else None

    @property
    def _lost(self) -> int:
        return max(0, self._total - len(self._places.numbers)) + len(self._damaged)
