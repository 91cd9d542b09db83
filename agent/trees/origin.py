"""Whose code a frame is: the server's own, a library's or the standard library's. Its file's place tells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from perfwatch.agent.model import Frame

_INSTALLED: Final = re.compile(
    r".*?/(?:lib(?:32|64)?/python\d[\d.]*|python\d+\.zip|(?:site|dist)-packages)/", re.DOTALL
)
_PACKAGES: Final = re.compile(r".*/(?:site|dist)-packages/", re.DOTALL)
_TYPED: Final = ("<string>", "<stdin>")
"""Files of code that somebody handed to `exec` or `python -c`; other names in brackets are machinery."""


def is_own(frame: Frame) -> bool:
    """Tell whether a frame is the server's own code."""
    return not frame.is_native and is_own_file(frame.file)


def is_own_file(file: str) -> bool:
    """Tell whether a file is neither of the standard library nor of an installed package."""
    if not file or file.startswith("<"):
        return file in _TYPED
    return _INSTALLED.match(file) is None


def telling(frames: Sequence[Frame]) -> Frame | None:
    """Return the frame that tells a person most of a stack: the innermost of the server's own, else the innermost."""
    return next((frame for frame in frames if is_own(frame)), frames[0] if frames else None)


def prefixes(files: Iterable[str]) -> list[str]:
    """Return where installed code lies, of these files: what is below is not the server's own."""
    found = (_INSTALLED.match(file) for file in files)
    return sorted({match[0] for match in found if match})


def roots(code: Iterable[str], native: Iterable[str]) -> list[str]:
    """Return the directories that file names are told relative to: of packages, of the library, of the own code.

    Without a slash at their ends: pyinstrument's page would count it as one level more.
    """
    names = set(code)
    packages = {match[0] for match in map(_PACKAGES.match, names) if match}
    found = {directory.rstrip("/") for directory in (*packages, *prefixes(names))}
    libraries = {file.rpartition("/")[0] for file in native if "/" in file}
    return sorted(found | libraries | _own_root(names))


def _own_root(files: Iterable[str]) -> set[str]:
    """Return the deepest directory that all own files are in; none where that is the root of the file system."""
    own = [file.split("/")[:-1] for file in files if file.startswith("/") and is_own_file(file)]
    if not own:
        return set()
    first, last = min(own), max(own)
    depth = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    root = "/".join(first[:depth])
    return {root} if root else set()
