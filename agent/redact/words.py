"""Which parts of paths are fixed words of a service's interface, and may be kept: told by a look at all of them.

A part stays if it is one of `PATH_WORDS`, was asked for by name, stands in a route as the framework spells it, or is
the first word of a path and looks like one. Where a service has very many first words they are data, and none stays.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from perfwatch.agent.redact.vocabulary import EXTENSIONS, PATH_WORDS, VERSION
from perfwatch.probes.frames import Span
from perfwatch.probes.records import ServedRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.probes.records import Record

MAX_FIRST_WORDS: Final = 24
_WORD: Final = re.compile(r"(?!.*[bcdfghjklmnpqrstvwxz]{5})[a-z][a-z_-]{1,19}")
_PARAMETER: Final = re.compile(r"[<{(\[:?*$^\\]")
"""In a route as a framework spells it: `{user_id}`, `<int:id>`, `:id`, a regular expression."""


def split_target(target: str) -> list[str]:
    """Return the parts of a request's path."""
    return target.partition("?")[0].partition("#")[0].split("/")


class Words:
    """The words that stay."""

    def __init__(self, kept: Iterable[str] = ()) -> None:
        self._kept = set(kept)
        self._first: set[str] = set()

    def look(self, record: Record) -> None:
        """Look at one record."""
        match record:
            case ServedRequest(target=str(target)):
                self._look_at(target)
            case Span():
                self._look_at(record.target)
                parts = split_target(record.route or "")
                self._kept.update(part for part in parts if not _PARAMETER.search(part) and _WORD.fullmatch(part))

    def keep(self, part: str) -> bool:
        """Whether a part of a path may stay; only true of what was looked at before."""
        if part in PATH_WORDS or part in self._kept or VERSION.fullmatch(part):
            return True
        return part in self._first and len(self._first) <= MAX_FIRST_WORDS

    def _look_at(self, target: str) -> None:
        first = next((part for part in split_target(target) if part and not VERSION.fullmatch(part)), "")
        if len(self._first) <= MAX_FIRST_WORDS and first not in PATH_WORDS and _WORD.fullmatch(first):
            self._first.add(first)


def ending(part: str) -> str:
    """Return the extension of a file's name, with its dot; nothing where it is not a usual one."""
    _, dot, extension = part.rpartition(".")
    return f".{extension}" if dot and extension.lower() in EXTENSIONS else ""
