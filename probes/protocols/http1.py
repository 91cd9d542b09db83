"""HTTP/1: `GET /items/{}`, from `GET /items/42?token=x HTTP/1.1`.

Of the target only the path is told, its variable segments folded to `{}`; what follows `?`, `#` or, in a segment,
`;` is never told, nor is the user in `http://user:password@host/`. RFC 9112.
"""

from __future__ import annotations

import string
from typing import Final

from perfwatch.probes.protocols.turn import CUT, Said, Turn, marked

_METHODS: Final = (
    "GET HEAD POST PUT DELETE PATCH OPTIONS TRACE CONNECT PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT "
    "SEARCH PURGE MKACTIVITY CHECKOUT MERGE SUBSCRIBE NOTIFY QUERY LINK UNLINK"
)
METHODS: Final = frozenset(_METHODS.split())
MAX_SEGMENTS: Final = 16
_NUMERAL: Final = frozenset(string.digits + ".,:;_+-")
_HEX: Final = frozenset(string.hexdigits + "-{}()")
_LETTERS: Final = frozenset(string.ascii_letters)
_DIGITS: Final = frozenset(string.digits)
_MIN_HEX, _MIN_TOKEN, _MAX_WORD = 8, 20, 39


def read(said: Said) -> Turn | None:
    """Read a request line; None where there is none."""
    line, ended, _ = said.head.partition(b"\r\n")
    method, _, rest = line.decode("utf-8", "replace").partition(" ")
    if method not in METHODS:
        return None
    target, version_follows, version = rest.partition(" ")
    if not (version.startswith("HTTP/1.") if ended else "HTTP/1.1".startswith(version[:8]) and said.cut):
        return None
    if method == "CONNECT":  # to a proxy; what is spoken inside comes later
        return Turn("http/1", "CONNECT", phase="opening")
    return Turn("http/1", f"{method} {folded(_path(target), cut=not version_follows)}")


def folded(path: str, *, cut: bool = False) -> str:
    """Return a path with its variable segments as `{}`; `cut`: its last segment goes on, and is not told."""
    segments = path.split("/")
    if cut:
        segments[-1] = CUT
    shown = ["{}" if is_variable(segment) else segment for segment in segments[:MAX_SEGMENTS]]
    return marked("/".join(shown), cut=len(segments) > MAX_SEGMENTS) or "/"


def is_variable(segment: str) -> bool:
    """Whether a path's segment looks like a value: a number, a date, hex, a UUID, an address, a token."""
    if segment == CUT or (segment.isalpha() and len(segment) < 2 * _MIN_HEX):  # most, and at once
        return False
    characters = set(segment)
    has_digit = bool(characters & _DIGITS)
    if has_digit and (characters <= _NUMERAL or segment[0] in _DIGITS):
        return True
    if characters <= _HEX and (len(segment) >= 2 * _MIN_HEX or (len(segment) >= _MIN_HEX and has_digit)):
        return True
    if "@" in segment or "%40" in segment or len(segment) > _MAX_WORD:
        return True
    return len(segment) >= _MIN_TOKEN and has_digit and bool(characters & _LETTERS)


def _path(target: str) -> str:
    _, is_absolute, rest = target.partition("://")
    if is_absolute and not target.startswith("/"):
        target = "/" + rest.partition("/")[2] if "/" in rest else ""
    path = target.partition("?")[0].partition("#")[0]
    return "/".join(segment.partition(";")[0] for segment in path.split("/"))
