"""Glyphs, colours and words: each bucket and each principle looks the same on every screen.

A colour is never the only sign: buckets have a glyph of their own, principles a letter.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from perfwatch.agent.model import BUCKETS, Bucket, Principle


class Ink(NamedTuple):
    """How one bucket is drawn."""

    glyph: str
    """One cell wide in every font: block elements, box drawing or ASCII."""
    colour: str
    name: str
    meaning: str
    """What the request's thread was doing, for the legend."""


INKS: Final[dict[Bucket, Ink]] = {
    "queue": Ink("═", "#e2c064", "queue", "waited in the socket until a thread read it"),
    "on_cpu": Ink("█", "#7fb77e", "cpu", "ran on a CPU"),
    "gil": Ink("▓", "#e06c75", "gil", "blocked on the interpreter lock"),
    "lock": Ink("▒", "#e8955a", "lock", "blocked on another lock"),
    "loop": Ink("╲", "#d69ad6", "loop", "its event loop served something else"),
    "run_queue": Ink("╱", "#b58cf0", "run queue", "could run, but had no CPU"),  # noqa: RUF001
    "disk": Ink("▄", "#4fb8a8", "disk", "blocked on block I/O"),
    "fault": Ink("▀", "#d16d9e", "fault", "blocked on memory: page fault, swap, reclaim"),
    "calls": Ink("░", "#6cb2f0", "calls", "waited for another process"),
    "sleep": Ink("z", "#9aa7b8", "sleep", "slept on a timer"),
    "receive": Ink("<", "#56cbd8", "receive", "waited for the rest of the request"),
    "send": Ink(">", "#56a0d8", "send", "waited for the client to take the response"),
    "child": Ink("╎", "#a5a6f0", "child", "waited for a child process"),
    "other": Ink("?", "#a08c7a", "other", "blocked for another reason"),
}
UNACCOUNTED: Final = Ink("·", "#6b7480", "unaccounted", "what no bucket explains; shown, never hidden")

LETTER: Final[dict[Principle, str]] = {
    "efficiency": "E",
    "concurrency": "C",
    "capacity": "K",
    "healthy": "✓",
    "unknown": "?",
}
COLOUR: Final[dict[Principle, str]] = {
    "efficiency": "#7fb77e",
    "concurrency": "#e8955a",
    "capacity": "#6cb2f0",
    "healthy": "#7fb77e",
    "unknown": "#9aa7b8",
}

TEXT: Final = "#d7dce2"
STRONG: Final = "bold #f2f5f8"
QUIET: Final = "#8b95a1"
FAINT: Final = "#4d5763"
ACCENT: Final = "#7cc4ff"
LINE: Final = "#4f83ad"
ALARM: Final = "#ef6b73"
WARN: Final = "#e2c064"


def inks(booked_ns: tuple[int, ...], unaccounted_ns: int) -> list[tuple[Ink, int]]:
    """Pair each figure of a ledger with its ink, in ledger order, unaccounted last; zeros are left out."""
    parts = [(INKS[bucket], ns) for bucket, ns in zip(BUCKETS, booked_ns, strict=False) if ns > 0]
    if unaccounted_ns > 0:
        parts.append((UNACCOUNTED, unaccounted_ns))
    return parts
