"""Where the files of a call tree lie: what is not the server's own code, and what their names are told relative to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.places import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.agent.model import Frame

_INSTALLED: Final = re.compile(
    r"(.*?/(?:lib(?:32|64)?/python\d[\d.]*t?|python\d+\.zip|(?:site|dist)-packages))/", re.DOTALL
)
_PACKAGES: Final = re.compile(r"(.*/(?:site|dist)-packages)/", re.DOTALL)


class Files:
    """The files of frames, as they are shown."""

    def __init__(self) -> None:
        self._own: set[str] = set()
        self._foreign: set[str] = set()
        self._native: set[str] = set()

    def see(self, frame: Frame, shown: str) -> None:
        """Take the file of a frame."""
        kind = kind_of(frame)
        if shown:
            (self._own if kind == "own" else self._native if kind == "native" else self._foreign).add(shown)

    def foreign(self) -> list[str]:
        """Return the files that are not the server's own code; pyinstrument calls these prefixes."""
        return sorted(self._foreign | self._native)

    def roots(self) -> list[str]:
        """Return the directories that names are told relative to: of packages, of the library, of the own code.

        Without a slash at their ends: pyinstrument's page would count it as one level more.
        """
        found = [expression.match(file) for file in self._foreign for expression in (_INSTALLED, _PACKAGES)]
        installed = {match[1] for match in found if match}
        native = {file.rpartition("/")[0] for file in self._native if "/" in file}
        return sorted(installed | native | _common(self._own))


def _common(files: Iterable[str]) -> set[str]:
    """Return the deepest directory that all these files are in; none where that is the root of the file system."""
    parts = [file.split("/")[:-1] for file in files if file.startswith("/")]
    if not parts:
        return set()
    first, last = min(parts), max(parts)
    depth = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    root = "/".join(first[:depth])
    return {root} if root else set()
