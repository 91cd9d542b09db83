"""Moments that somebody wants to find again, each with a note; of a session file they are kept beside it.

The file may have been made by anybody: it is read as a regular file of a bounded size, and no link is followed.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session import place
from perfwatch.agent.trust import read_small

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX: Final = ".bookmarks.json"
MAX_BOOKMARKS: Final = 1000
MAX_NOTE_CHARS: Final = 200
MAX_BYTES: Final = 1 << 20


class Bookmark(msgspec.Struct, frozen=True, order=True):
    """One of them."""

    at_ns: Annotated[int, msgspec.Meta(gt=-(1 << 62), lt=1 << 62)]
    """Monotonic, as all times of the session."""
    note: str
    """Untrusted once it was read from a file."""


class Bookmarks:
    """Those of one stream, in order of time."""

    def __init__(self, session: Path | None) -> None:
        """Read those of a session file; raises PerfwatchError where they cannot be trusted to be some."""
        self._path = None if session is None else beside(session)
        self._all = [] if self._path is None else _read(self._path)

    @property
    def all(self) -> tuple[Bookmark, ...]:
        """The earliest first."""
        return tuple(self._all)

    @property
    def is_full(self) -> bool:
        """Whether no more can be set."""
        return len(self._all) >= MAX_BOOKMARKS

    def add(self, at_ns: int, note: str) -> None:
        """Set one, and keep it; raises PerfwatchError where that cannot be done."""
        if self.is_full:
            raise full()
        insort(self._all, Bookmark(at_ns, note[:MAX_NOTE_CHARS]))
        self._keep()

    def remove(self, bookmark: Bookmark) -> None:
        """Take one away, for good."""
        self._all = [one for one in self._all if one != bookmark]
        self._keep()

    def _keep(self) -> None:
        if self._path is not None:
            write(self._path, self._all)


def full() -> PerfwatchError:
    """Say that no more can be set."""
    return PerfwatchError(f"there are {MAX_BOOKMARKS} bookmarks already", "M lists them, d there forgets one")


def beside(session: Path) -> Path:
    """Return where the bookmarks of a session file are."""
    return session.with_name(session.name + SUFFIX)


def write(path: Path, bookmarks: list[Bookmark]) -> None:
    """Write the file anew, mode 0600, at once; in no directory in which others could put a link in its way."""
    data = msgspec.json.format(msgspec.json.encode(bookmarks), indent=1)
    place.make(place.settle(path), lambda draft: _write(draft, data), overwrite=True)


def _write(draft: Path, data: bytes) -> None:
    draft.write_bytes(data)


def _read(path: Path) -> list[Bookmark]:
    try:
        read = read_small(path, MAX_BYTES)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PerfwatchError(f"cannot read the bookmarks in {path}: {error.strerror}") from None
    if read is None:
        raise PerfwatchError(f"{path} is no file of bookmarks", "remove it")
    try:
        found = msgspec.json.decode(read[0], type=list[Bookmark])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise PerfwatchError(f"{path} is no file of bookmarks, or is damaged", "remove it") from None
    return sorted(Bookmark(one.at_ns, one.note[:MAX_NOTE_CHARS]) for one in found[:MAX_BOOKMARKS])
