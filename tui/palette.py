"""Glyphs, colours and words: each bucket and each principle looks the same on every screen.

A colour is never the only sign: buckets have a glyph of their own, principles a letter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.buckets import COLOUR as BUCKET_COLOUR
from perfwatch.agent.buckets import (
    GC_COLOUR,
    GC_MEANING,
    MEANING,
    OPEN_COLOUR,
    PART_COLOUR,
    PART_GLYPH,
    PART_MEANING,
    PRINCIPLE_COLOUR,
)
from perfwatch.agent.correlator.call_times import PARTS, Part
from perfwatch.agent.model import BUCKETS, Bucket, Principle

if TYPE_CHECKING:
    from perfwatch.agent.model_threads import Doing
    from perfwatch.agent.trees.reasons import Reason


class Ink(NamedTuple):
    """How one bucket is drawn."""

    glyph: str
    """One cell wide in every font: block elements, box drawing or ASCII."""
    colour: str
    name: str
    meaning: str
    """For the legend."""


_DRAWN: Final[dict[Bucket, tuple[str, str]]] = {
    "queue": ("═", "queue"),
    "on_cpu": ("█", "cpu"),
    "gil": ("▓", "gil"),
    "lock": ("▒", "lock"),
    "loop": ("╲", "loop"),
    "run_queue": ("╱", "run queue"),  # noqa: RUF001
    "disk": ("▄", "disk"),
    "fault": ("▀", "fault"),
    "calls": ("░", "calls"),
    "sleep": ("z", "sleep"),
    "receive": ("<", "receive"),
    "send": (">", "send"),
    "child": ("╎", "child"),
    "other": ("?", "other"),
}
INKS: Final[dict[Bucket, Ink]] = {
    bucket: Ink(glyph, BUCKET_COLOUR[bucket], name, MEANING[bucket]) for bucket, (glyph, name) in _DRAWN.items()
}
GC: Final = Ink("g", GC_COLOUR, "gc", GC_MEANING)
PART_INKS: Final[dict[Part, Ink]] = {
    part: Ink(PART_GLYPH[part], PART_COLOUR[part], part, PART_MEANING[part]) for part in PARTS
}
IDLE: Final = Ink("─", OPEN_COLOUR, "idle", "of a thread: waited for work")
UNKNOWN: Final = Ink("·", OPEN_COLOUR, "unknown", "of a thread: what it did may not be read")
UNACCOUNTED: Final = Ink("·", OPEN_COLOUR, "unaccounted", "what no bucket explains; shown, never hidden")

LETTER: Final[dict[Principle, str]] = {
    "efficiency": "E",
    "concurrency": "C",
    "capacity": "K",
    "healthy": "✓",
    "unknown": "?",
}
COLOUR: Final = PRINCIPLE_COLOUR

TEXT: Final = "#d7dce2"
STRONG: Final = "bold #f2f5f8"
QUIET: Final = "#8b95a1"
FAINT: Final = "#4d5763"
ACCENT: Final = "#7cc4ff"
LINE: Final = "#4f83ad"
ALARM: Final = "#ef6b73"
WARN: Final = "#e2c064"
GAIN: Final = "#7fb77e"


def ink_of(reason: Reason) -> Ink:
    """Return how a reason in a call tree is drawn."""
    return GC if reason == "gc" else INKS[reason]


def ink_for(doing: Doing | None) -> Ink:
    """Return how what a thread does is drawn."""
    if doing is None:
        return UNKNOWN
    return IDLE if doing == "idle" else INKS[doing]


def inks(booked_ns: tuple[int, ...], unaccounted_ns: int) -> list[tuple[Ink, int]]:
    """Pair each figure of a ledger with its ink, in ledger order, unaccounted last; zeros are left out."""
    parts = [(INKS[bucket], ns) for bucket, ns in zip(BUCKETS, booked_ns, strict=False) if ns > 0]
    if unaccounted_ns > 0:
        parts.append((UNACCOUNTED, unaccounted_ns))
    return parts
