"""A session that is read redacted: whatever is made of it has never seen what was left out."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from perfwatch.agent.model import Mechanism, Principle
from perfwatch.agent.redact.hiding import Hiding
from perfwatch.agent.redact.prose import plain
from perfwatch.agent.redact.words import Words
from perfwatch.agent.session.reader import SessionReader

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from perfwatch.agent.marks import Marks
    from perfwatch.agent.model import SessionInfo
    from perfwatch.agent.session.stored import Second, StoredVerdict

_JUDGEMENTS: Final = {*typing.get_args(Principle), *typing.get_args(Mechanism), None}
_LEFT_OUT: Final = "(the words of a recorded verdict are left out)"


def open_reader(path: Path, *, redact: bool = False, keep: Iterable[str] = ()) -> SessionReader:
    """Open a session for reading, redacted or as it is; raises PerfwatchError if it is none.

    `keep` are words of paths that may stay. To redact, the recording is read once more, beforehand.
    """
    return RedactedReader(path, keep) if redact else SessionReader(path)


class RedactedReader(SessionReader):
    """A `SessionReader` of which nothing comes that was not redacted."""

    def __init__(self, path: Path, keep: Iterable[str] = ()) -> None:
        self._hiding: Hiding | None = None
        super().__init__(path)
        words = Words(keep)
        for record in super().records():
            words.look(record)
        self._hiding = Hiding(words)
        self._said = self._hiding.hide(super().info)

    @property
    def info(self) -> SessionInfo:
        """What the session says of itself."""
        return self._said

    @property
    def ended(self) -> str | None:
        """Why the recording ended."""
        ended = super().ended
        return None if ended is None else plain(ended)

    @property
    def note(self) -> str | None:
        """What is missing; without the name of the file, which may be one that a link leads to."""
        note = super().note
        return None if note is None else note.replace(self._path.resolve().name, "FILE")

    def index(self, marks: Marks) -> NoReturn:
        """Refuse: marks are read past the records."""
        raise NotImplementedError

    def _load(self, number: int) -> Second | None:
        second = super()._load(number)
        if second is None or self._hiding is None:
            return second
        records = tuple(map(self._hiding.hide, second.records))
        return msgspec.structs.replace(second, records=records, verdicts=tuple(map(_without_words, second.verdicts)))


def _without_words(verdict: StoredVerdict) -> StoredVerdict:
    """Return what was found of a request, without the sentence on it: it names whom it may."""
    principle = verdict.principle if verdict.principle in _JUDGEMENTS else "unknown"
    mechanism = verdict.mechanism if verdict.mechanism in _JUDGEMENTS else None
    return msgspec.structs.replace(verdict, principle=principle, mechanism=mechanism, summary=_LEFT_OUT)
