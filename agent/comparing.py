"""Two views, such as of two windows or two recordings: what changed in latency, causes and code."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.correlator.wording import at, percent
from perfwatch.agent.model import BUCKETS
from perfwatch.agent.playing import MAX_WINDOW

if TYPE_CHECKING:
    from perfwatch.agent.model import Endpoint, FrameShare, View
    from perfwatch.agent.playing import Window
    from perfwatch.agent.source import Source

MAX_ENDPOINTS: Final = 20
_MAX_PARTS: Final = 5
LEAST_MS: Final = 1.0
"""What a place in the code changed by less is left out; a bucket too, if it is small."""
_LARGE: Final = 0.05
"""A bucket of at least this part of the time is told, also where it has not changed."""


class Pair(msgspec.Struct, frozen=True):
    """One figure before and after; None where there was nothing to measure."""

    before: float | None
    after: float | None


class Figures(msgspec.Struct, frozen=True):
    """The signals of some requests."""

    rate_rps: Pair
    p50_ms: Pair
    p95_ms: Pair
    slow_share: Pair
    error_share: Pair


class Part(msgspec.Struct, frozen=True):
    """What one of an endpoint's judged requests spends in one way, in the mean."""

    name: str
    """A bucket, or a place in the code; the latter is untrusted."""
    ms: Pair

    @property
    def most_ms(self) -> float:
        """What it was at most."""
        return max(self.ms.before or 0.0, self.ms.after or 0.0)

    @property
    def more_ms(self) -> float:
        """By how much it became more; less than 0 where it became less."""
        return (self.ms.after or 0.0) - (self.ms.before or 0.0)


class Moved(msgspec.Struct, frozen=True):
    """What became of one endpoint."""

    name: str
    """`POST /order`; untrusted."""
    figures: Figures
    causes: tuple[str | None, str | None]
    """The mechanism of its verdict with its share, or its principle, before and after: `lock 71 %`."""
    buckets: tuple[Part, ...]
    """Those that changed, most first, then other large ones; empty where one side has none."""
    code: tuple[Part, ...]
    """What changed, most first."""


class Side(msgspec.Struct, frozen=True):
    """One of the two."""

    count: int
    """Requests."""
    seconds: float
    verdict: str
    """In words; untrusted."""


class Comparison(msgspec.Struct, frozen=True):
    """What changed, the endpoint whose requests lost or won most time in all first."""

    sides: tuple[Side, Side]
    figures: Figures
    endpoints: tuple[Moved, ...]


def compare(before: View, after: View) -> Comparison:
    """Hold two views against each other; of many endpoints, the 20 that changed most."""
    ends = [{(end.method, end.place): end for end in view.endpoints} for view in (before, after)]
    sides = (_side(before), _side(after))
    spans_s = (sides[0].seconds, sides[1].seconds)
    names = sorted(
        ends[0].keys() | ends[1].keys(), key=lambda name: (-_weight(ends[0].get(name), ends[1].get(name)), name)
    )
    return Comparison(
        sides,
        _figures((before, after), spans_s),
        tuple(_moved(ends[0].get(name), ends[1].get(name), spans_s) for name in names[:MAX_ENDPOINTS]),
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


def _side(view: View) -> Side:
    return Side(view.count, max((view.now_ns - view.first_ns) / 1e9, 1e-9), view.verdict.summary)


def _moved(before: Endpoint | None, after: Endpoint | None, spans_s: tuple[float, float]) -> Moved:
    either = after or before
    if either is None:
        raise AssertionError
    has_both = before is not None and after is not None
    return Moved(
        f"{either.method} {either.place}",
        _figures((before, after), spans_s),
        (_cause(before), _cause(after)),
        _parts(_buckets(before), _buckets(after), least=_LARGE) if has_both else (),
        _parts(_code(before), _code(after)) if has_both else (),
    )


def _figures(sides: tuple[View | Endpoint | None, View | Endpoint | None], spans_s: tuple[float, float]) -> Figures:
    latencies = [None if side is None else side.latency_ms for side in sides]
    counts = [0 if side is None else side.count for side in sides]
    return Figures(
        Pair(*(count / span if count else None for count, span in zip(counts, spans_s, strict=True))),
        Pair(*(None if one is None else one.p50 for one in latencies)),
        Pair(*(None if one is None else one.p95 for one in latencies)),
        Pair(*(side.slow_count / side.count if side is not None and side.count else None for side in sides)),
        Pair(*(side.errors / side.count if side is not None and side.count else None for side in sides)),
    )


def _parts(before: dict[str, float], after: dict[str, float], *, least: float = math.inf) -> tuple[Part, ...]:
    """Return what changed, and what took at least a part of the time at either side."""
    names = dict.fromkeys((*before, *after))
    large_ms = max(min(sum(side.values()) for side in (before, after)) * least, LEAST_MS)
    parts = [Part(name, Pair(before.get(name, 0.0), after.get(name, 0.0))) for name in names]
    parts = [part for part in parts if abs(part.more_ms) >= LEAST_MS or part.most_ms >= large_ms]
    return tuple(sorted(parts, key=lambda part: (-round(abs(part.more_ms)), -part.most_ms))[:_MAX_PARTS])


def _buckets(end: Endpoint | None) -> dict[str, float]:
    booked_ns = () if end is None else end.ledger.booked_ns
    return {name: spent_ns / 1e6 for name, spent_ns in zip(BUCKETS, booked_ns, strict=False)}


def _code(end: Endpoint | None) -> dict[str, float]:
    return {} if end is None else {_place(frame): frame.share * end.ledger.total_ns / 1e6 for frame in end.frames}


def _place(frame: FrameShare) -> str:
    here = at(frame.function, frame.file, frame.line)
    return here if frame.called is None else f"{frame.called} in {here}"


def _cause(end: Endpoint | None) -> str | None:
    if end is None:
        return None
    verdict = end.verdict
    return verdict.principle if verdict.mechanism is None else f"{verdict.mechanism} {percent(verdict.share)}"
