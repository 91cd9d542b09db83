"""A moment as somebody types it: `10:27`, `3m ago`, `+30s`; pure but for the local time zone.

The screen's times of day are local, a report's are UTC.
"""

from __future__ import annotations

import calendar
import re
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from perfwatch.agent.model import SessionInfo
    from perfwatch.agent.source import Position

EXAMPLES: Final = "10:27, 10:27:30, 3m ago, +30s, -2m, start, end"
_NS: Final = 1_000_000_000
_DAY_S: Final = 86_400
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "": 1}
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_RELATIVE: Final = re.compile(r"([+-])\s*(\d{1,6}(?:\.\d{1,3})?)\s*([smh]?)")
_AGO: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([smh]?)\s*ago")


def parse(text: str, position: Position, info: SessionInfo, *, is_utc: bool = False) -> int | None:
    """Return the moment on the session's monotonic clock, clamped to the stream; None if it is none."""
    text = text.strip().lower()
    if text in {"start", "end"}:
        return position.first_ns if text == "start" else position.last_ns
    wanted = _relative(text, position) or _clock(text, position, info, is_utc=is_utc)
    return None if wanted is None else min(max(wanted, position.first_ns), position.last_ns)


def _relative(text: str, position: Position) -> int | None:
    if match := _RELATIVE.fullmatch(text):
        sign, amount, unit = match.groups()
        length = int(float(amount) * _UNIT_S[unit] * _NS)
        return position.now_ns + (length if sign == "+" else -length)
    if match := _AGO.fullmatch(text):
        amount, unit = match.groups()
        return position.last_ns - int(float(amount) * _UNIT_S[unit] * _NS)
    return None


def _clock(text: str, position: Position, info: SessionInfo, *, is_utc: bool) -> int | None:
    """Return the latest moment of the stream's last 24 hours that shows this time of day."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    hour, minute, second = (int(part or 0) for part in match.groups())
    if hour > 23 or minute > 59 or second > 59:  # noqa: PLR2004 - a clock's
        return None
    end_s = info.unix_s(position.last_ns)
    try:
        day = time.gmtime(end_s) if is_utc else time.localtime(end_s)
        wanted = (day.tm_year, day.tm_mon, day.tm_mday, hour, minute, second, 0, 0, -1)
        wanted_s = calendar.timegm(wanted) if is_utc else time.mktime(wanted)
    except (OverflowError, ValueError, OSError):  # a recording may claim any date
        return None
    if wanted_s > end_s + 1:
        wanted_s -= _DAY_S
    return info.at_ns(wanted_s)
