"""Two views, such as of two windows or two recordings: what changed in latency, causes and code."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.model import BUCKETS
from perfwatch.agent.playing import MAX_WINDOW

if TYPE_CHECKING:
    from perfwatch.agent.model import Endpoint, FrameShare, View
    from perfwatch.agent.playing import Window
    from perfwatch.agent.source import Source

MAX_ENDPOINTS: Final = 20
_MAX_PARTS: Final = 3
_LEAST_MS: Final = 1.0
"""What a bucket or a place in the code changed by less is left out."""


class Pair(msgspec.Struct, frozen=True):
    """One figure before and after; None where there was nothing to measure."""

    before: float | None
    after: float | None


class Shift(msgspec.Struct, frozen=True):
    """What one of an endpoint's requests spends in one way more than before, or less."""

    name: str
    """A bucket, or a place in the code; the latter is untrusted."""
    more_ms: float


class Moved(msgspec.Struct, frozen=True):
    """What became of one endpoint."""

    name: str
    """`POST /order`; untrusted."""
    rate_rps: Pair
    p50_ms: Pair
    p95_ms: Pair
    slow_share: Pair
    causes: tuple[str | None, str | None]
    """The mechanism of its verdict, or its principle, before and after."""
    buckets: tuple[Shift, ...]
    """Of the mean of its judged requests, what changed most first; empty where one side has none."""
    code: tuple[Shift, ...]
    """As `buckets`."""


class Comparison(msgspec.Struct, frozen=True):
    """What changed, the endpoint whose requests lost or won most time in all first."""

    rate_rps: Pair
    p50_ms: Pair
    p95_ms: Pair
    endpoints: tuple[Moved, ...]


def compare(before: View, after: View) -> Comparison:
    """Hold two views against each other; of many endpoints, the 20 that changed most."""
    ends = [{(end.method, end.place): end for end in view.endpoints} for view in (before, after)]
    names = sorted(ends[0].keys() | ends[1].keys(), key=lambda name: _weight(ends[0].get(name), ends[1].get(name)))
    spans_s = [max((view.now_ns - view.first_ns) / 1e9, 1e-9) for view in (before, after)]
    return Comparison(
        Pair(before.throughput_rps, after.throughput_rps),
        Pair(*(None if view.latency_ms is None else view.latency_ms.p50 for view in (before, after))),
        Pair(*(None if view.latency_ms is None else view.latency_ms.p95 for view in (before, after))),
        tuple(_moved(ends[0].get(name), ends[1].get(name), spans_s) for name in names[::-1][:MAX_ENDPOINTS]),
    )


def viewed(source: Source, window: Window) -> View:
    """Return the view of a stretch that a source keeps, as it is shown: of too many records, the first."""
    from perfwatch.agent.correlator.engine import Correlator  # noqa: PLC0415 - no first screen waits for it

    correlator = Correlator(source.info, whole=True)
    for record in islice(source.cut(window), MAX_WINDOW):
        correlator.feed(record)
    return correlator.view()


def _weight(before: Endpoint | None, after: Endpoint | None) -> float:
    """Return how much time its requests lost or won at their 95th percentile; one that is new or gone weighs little."""
    if before is None or after is None:
        return 0.0
    return abs(after.latency_ms.p95 - before.latency_ms.p95) * min(before.count, after.count)


def _moved(before: Endpoint | None, after: Endpoint | None, spans_s: list[float]) -> Moved:
    either = after or before
    if either is None:
        raise AssertionError
    sides = (before, after)
    rates = (None if end is None else end.count / span for end, span in zip(sides, spans_s, strict=True))
    return Moved(
        f"{either.method} {either.place}",
        Pair(*rates),
        Pair(*(None if end is None else end.latency_ms.p50 for end in sides)),
        Pair(*(None if end is None else end.latency_ms.p95 for end in sides)),
        Pair(*(None if end is None else end.slow_count / end.count for end in sides)),
        (_cause(before), _cause(after)),
        () if before is None or after is None else _shifts(_buckets(before), _buckets(after)),
        () if before is None or after is None else _shifts(_code(before), _code(after)),
    )


def _shifts(before: dict[str, float], after: dict[str, float]) -> tuple[Shift, ...]:
    names = dict.fromkeys((*before, *after))
    shifts = [Shift(name, after.get(name, 0.0) - before.get(name, 0.0)) for name in names]
    shifts = [shift for shift in shifts if abs(shift.more_ms) >= _LEAST_MS]
    return tuple(sorted(shifts, key=lambda shift: -abs(shift.more_ms))[:_MAX_PARTS])


def _buckets(end: Endpoint) -> dict[str, float]:
    return {name: spent_ns / 1e6 for name, spent_ns in zip(BUCKETS, end.ledger.booked_ns, strict=True)}


def _code(end: Endpoint) -> dict[str, float]:
    total_ms = end.ledger.total_ns / 1e6
    return {_place(frame): frame.share * total_ms for frame in end.frames}


def _place(frame: FrameShare) -> str:
    return f"{frame.function}() at {frame.file}:{frame.line}"


def _cause(end: Endpoint | None) -> str | None:
    return None if end is None else end.verdict.mechanism or end.verdict.principle
