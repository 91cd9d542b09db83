"""How values are written on the screen: short, aligned, and harmless.

Strings from the target, its clients or a recording are untrusted: what is shown of them goes through `clean`.
"""

# ruff: noqa: PLR2004 - the figures are where the number of digits changes

from __future__ import annotations

import re
import time
import unicodedata
from typing import Final

from rich.cells import cell_len, set_cell_size

ELLIPSIS: Final = "…"
NONE: Final = "-"
_NS_PER_MS: Final = 1_000_000
_SECOND_MS: Final = 1_000
_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_MAX_CHARS: Final = 1_000
_ALL: Final = 0.9995
"""From here on the rest is not worth a figure."""
_INTERPRETER: Final = re.compile(r"python[0-9.]*")
_PROGRAM_OPTIONS: Final = frozenset({"-m", "-c"})
_VALUE_OPTIONS: Final = frozenset({"-X", "-W"})
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Me"})


def clean(text: str) -> str:
    """Make untrusted text printable: what a terminal would obey, hide or stack is shown as an escape."""
    text = text[:_MAX_CHARS]
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if unicodedata.category(char) not in _INVISIBLE:
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def fit(text: str, width: int) -> str:
    """Return text of exactly `width` cells: padded, or cut with an ellipsis."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + ELLIPSIS if width > 0 else ""


def fit_path(path: str, width: int) -> str:
    """Like `fit`, but cut in the middle: the end of a path tells it from its siblings."""
    if cell_len(path) <= width or width < 8 or not path.isascii():
        return fit(path, width)
    tail = width // 2
    return path[: width - tail - 1] + ELLIPSIS + path[-tail:]


def program(command: str) -> str:
    """Write a command line from its program on: `gunicorn shop.wsgi` for `/venv/bin/python -m gunicorn shop.wsgi`."""
    words = clean(command).split(" ")
    if _INTERPRETER.fullmatch(_basename(words[0])):
        rest = words[1:]
        while rest and rest[0].startswith("-") and rest[0] not in _PROGRAM_OPTIONS:
            rest = rest[2 if rest[0] in _VALUE_OPTIONS else 1 :]
        rest = rest[1:] if rest[:1] == ["-m"] else rest
        words = rest if rest and rest[0] != "-c" else words
    return " ".join((_basename(words[0]), *words[1:]))


def _basename(word: str) -> str:
    return word.rpartition("/")[2] or word


def duration(ms: float) -> str:
    """Write a length of time in at most 7 cells: `0.4 ms`, `38 ms`, `1.24 s`, `12.3 s`, then as `span`."""
    if ms < 9.95:
        return f"{0.0 if -0.05 < ms < 0 else ms:.1f} ms"
    if ms < _SECOND_MS - 0.5:
        return f"{ms:.0f} ms"
    seconds = ms / _SECOND_MS
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < _MINUTE_S - 0.05:
        return f"{seconds:.1f} s"
    return span(seconds)


def span(seconds: float) -> str:
    """Write a longer time in at most 7 cells: `42 s`, `3m 05s`, `2h 04m`, `5d 02h`."""
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S}m {whole % _MINUTE_S:02d}s"
    if whole < 24 * _HOUR_S:
        return f"{whole // _HOUR_S}h {whole % _HOUR_S // _MINUTE_S:02d}m"
    return f"{whole // (24 * _HOUR_S)}d {whole % (24 * _HOUR_S) // _HOUR_S:02d}h"


def duration_ns(ns: int) -> str:
    """Write a length of time given in nanoseconds, as `duration` does."""
    return duration(ns / _NS_PER_MS)


def count(number: float) -> str:
    """Write a number of things in at most 5 cells: `402`, `5120`, `12k`, `3.4M`."""
    if number < 9_999.5:
        return f"{number:.0f}"
    for unit in ("", "k", "M", "G"):
        if number < 9.95 and unit:
            return f"{number:.1f}{unit}"
        if number < 999.5:
            return f"{number:.0f}{unit}"
        number /= 1000
    return f"{number:.0f}T"


def rate(per_second: float) -> str:
    """Write a rate: `0.4/s`, `212/s`, `12k/s`."""
    return f"{per_second:.1f}/s" if per_second < 9.95 else f"{count(per_second)}/s"


def percent(share: float, *, digits: int = 0) -> str:
    """Write a share of 0..1: `68 %`. A share that is there is never shown as none, nor one with a rest as all."""
    value = share * 100
    smallest: float = 10**-digits
    if 0 < value < smallest / 2:
        return f"<{smallest:g} %"
    if -smallest / 2 <= value < 0:
        value = 0.0
    if share < _ALL:
        value = min(value, 100 - smallest * 0.6)
    return f"{value:.{digits}f} %"


def size(octets: int) -> str:
    """Write a number of bytes: `412 B`, `1.2 kB`, `34 MB`."""
    if octets < 1000:
        return f"{octets} B"
    amount: float = octets
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.5:
            return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"
    return f"{amount / 1000:.0f} TB"


def clock(unix_s: float, *, ms: bool = False) -> str:
    """Write a moment as local time of day: `10:32:07`, or `10:32:07.214`."""
    try:
        text = time.strftime("%H:%M:%S", time.localtime(unix_s))
    except (OverflowError, ValueError, OSError):  # a recording may claim any date
        return "--:--:--.---" if ms else "--:--:--"
    return f"{text}.{int(unix_s * 1000) % 1000:03d}" if ms else text


def port_of(address: str) -> str:
    """Write a listening address shortly: `:8000`; what has no port is written in full."""
    shown = clean(address)
    return ":" + shown.rpartition(":")[2] if shown[:1].isdigit() or shown[:1] == "[" else shown


def minor(version: str) -> str:
    """Write a version without its patch level: `3.12`."""
    return clean(".".join(version.split(".")[:2]))
