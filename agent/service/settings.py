"""What the service was asked for: which servers, where to, in which pieces, and how much of it stays."""

from __future__ import annotations

from typing import Final

import msgspec

from perfwatch.agent.choices import Choices
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.export.audience import Audience
from perfwatch.agent.service.amounts import told_bytes
from perfwatch.agent.service.triggers import Trigger, parse
from perfwatch.agent.service.wanted import Wanted  # noqa: TC001 - msgspec reads the annotations

LEAST_TOTAL_BYTES: Final = 32 * 10**6
"""A recorder's newest second, its WAL of 4 MB and what folding that takes have to fit."""
DEFAULT_TOTAL_BYTES: Final = 2 * 10**9
DEFAULT_SEGMENT_S: Final = 3600.0
LEAST_SEGMENT_S: Final = 5.0
MOST_SEGMENT_BYTES: Final = 256 * 10**6
SEGMENTS_IN_TOTAL: Final = 16
"""A segment takes so small a part of the whole at most, so that little is removed at a time."""
SEGMENTS_IN_FLIGHT: Final = 4
_CHOICES: Final = Choices()
_NOBODY: Final = Audience()


class Settings(msgspec.Struct, frozen=True):
    """Made by `settled` where they come from a user."""

    directory: str
    wanted: tuple[Wanted, ...] = ()
    segment_s: float = DEFAULT_SEGMENT_S
    segment_bytes: int = DEFAULT_TOTAL_BYTES // SEGMENTS_IN_TOTAL
    retain_s: float | None = None
    """What ended longer ago is removed; None: only for want of space."""
    total_bytes: int = DEFAULT_TOTAL_BYTES
    """Blocks of all files in the directory, at any moment."""
    keep_on: tuple[Trigger, ...] = ()
    slow_ms: float | None = None
    choices: Choices = Choices()
    audience: Audience = Audience()
    """Who is told of each recording while it is made."""


def settled(  # noqa: PLR0913 - one for each option
    directory: str,
    wanted: tuple[Wanted, ...],
    *,
    segment_s: float | None = None,
    segment_bytes: int | None = None,
    retain_s: float | None = None,
    total_bytes: int | None = None,
    flight_s: float | None = None,
    keep_on: tuple[str, ...] = (),
    slow_ms: float | None = None,
    choices: Choices = _CHOICES,
    audience: Audience = _NOBODY,
) -> Settings:
    """Fill in what was not said, and refuse what cannot work; PerfwatchError with one line.

    A flight recorder is short segments that go away soon, and something that keeps them.
    """
    if flight_s is not None:
        segment_s = segment_s or max(flight_s / SEGMENTS_IN_FLIGHT, LEAST_SEGMENT_S)
        retain_s = retain_s or flight_s
        keep_on = keep_on or ("slow",)
    total_bytes = total_bytes or DEFAULT_TOTAL_BYTES
    segment_bytes = segment_bytes or min(total_bytes // SEGMENTS_IN_TOTAL, MOST_SEGMENT_BYTES)
    segment_s = segment_s or DEFAULT_SEGMENT_S
    _check(total_bytes, segment_bytes, segment_s, retain_s)
    return Settings(
        directory=directory,
        wanted=wanted,
        segment_s=segment_s,
        segment_bytes=segment_bytes,
        retain_s=retain_s,
        total_bytes=total_bytes,
        keep_on=tuple(parse(word) for word in keep_on),
        slow_ms=slow_ms,
        choices=choices,
        audience=audience,
    )


def _check(total_bytes: int, segment_bytes: int, segment_s: float, retain_s: float | None) -> None:
    if total_bytes < LEAST_TOTAL_BYTES:
        least = told_bytes(LEAST_TOTAL_BYTES)
        raise PerfwatchError(f"--max-size {told_bytes(total_bytes)} is too little", f"at least {least}")
    if segment_bytes > total_bytes // 2:
        raise PerfwatchError("--segment-size is more than half of --max-size", "make segments smaller")
    if segment_s < LEAST_SEGMENT_S:
        raise PerfwatchError(f"--segment-time {segment_s:g}s is too short", f"at least {LEAST_SEGMENT_S:g}s")
    if retain_s is not None and retain_s < segment_s:
        raise PerfwatchError("--retain is shorter than a segment", "make segments shorter with --segment-time")
