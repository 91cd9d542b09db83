"""Folds paths into routes: `/users/123` becomes `/users/{}`.

A segment is folded when it looks like a value: a number (also with separators: dates, addresses,
versions), a UUID, hex of 8 digits or more, a time stamp, an e-mail address, a long token. Words stay,
however many there are: what bounds the number of routes is `MAX_ENDPOINTS` in `endpoints.py`, not this
module.
"""

from __future__ import annotations

import re
from typing import Final

NOT_SEEN: Final = "(path not seen)"
OTHER: Final = "{other}"
_CACHED: Final = 8192
_MAX_SEGMENTS: Final = 16
_VALUE: Final = re.compile(
    r"""
      [+-]?\d[\d.,:;_+-]*                                             # 42, 2024-05-01, 10.0.0.1, 1.5
    | \d{4}-?\d\d-?\d\d[Tt_][\d:.%+A-Za-z-]*                          # 2024-05-01T10:00:00Z
    | [({]?[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}[)}]?  # a UUID
    | (?=[^/]*\d)(?:0x)?[0-9a-fA-F]{8,}                               # 3f2a9c1d: hex with a digit in it
    | [0-9a-fA-F]{16,}
    | [^@]+(?:@|%40)[^@]+\.[^@]+                                      # ann@example.org
    | (?=[^/]*\d)(?=[^/]*[A-Za-z])[A-Za-z0-9_~=%+-]{20,}              # a token: long, letters and digits
    | .{40,}                                                          # a signed token and the like
    | \{\d+\}(?:\.\w{1,5})?                                           # what was redacted: {7}
    """,
    re.VERBOSE | re.DOTALL,
)
_ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


def asked_for(method: str | None, target: str | None) -> str:
    """Name a request by what it asks for: `GET /block`; untrusted."""
    return f"{method or '?'} {target or NOT_SEEN}"


class Routes:
    """Folds, and remembers the paths that it folded last (a look-up instead of 2-10 us)."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def fold(self, target: str | None) -> str:
        """Return the route of a request's target; `NOT_SEEN` without one."""
        if target is None:
            return NOT_SEEN
        route = self._known.get(target)
        if route is None:
            if len(self._known) >= _CACHED:
                self._known.clear()
            route = self._known[target] = fold(target)
        return route


def fold(target: str | None) -> str:
    """Return the path of a target with its variable parts replaced by `{}`; `NOT_SEEN` without one."""
    if target is None:
        return NOT_SEEN
    path = _ORIGIN.sub("", target, count=1) if "://" in target else target
    path = path.split("?", 1)[0].split("#", 1)[0]
    segments = path.split("/")
    if len(segments) > _MAX_SEGMENTS:
        segments = [*segments[:_MAX_SEGMENTS], "..."]
    return "/".join("{}" if _VALUE.fullmatch(segment) else segment for segment in segments) or "/"
