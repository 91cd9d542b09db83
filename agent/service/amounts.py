"""Amounts as somebody types them on a command line: `90s`, `15m`, `24h`, `7d`; `64MB`, `2GB`."""

from __future__ import annotations

import re
from typing import Final

TIMES: Final = "90s, 15m, 24h, 7d"
SIZES: Final = "512kB, 64MB, 2GB"
_AMOUNT: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([a-zA-Z]{0,3})")
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_BYTES: Final = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}


def seconds(text: str) -> float | None:
    """Return a length of time; None for what is none."""
    return _amount(text, _SECONDS)


def size_bytes(text: str) -> int | None:
    """Return a size; None for what is none."""
    found = _amount(text, _BYTES)
    return None if found is None else int(found)


def told_bytes(count: int) -> str:
    """`64 MB`; powers of ten, as disks are sold."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"


def _amount(text: str, units: dict[str, float] | dict[str, int]) -> float | None:
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or match[2].lower() not in units:
        return None
    return float(match[1]) * units[match[2].lower()]
