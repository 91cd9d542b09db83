"""The tables of a text report: endpoints with their ledgers as bars, the slowest requests, those in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.routes import asked_for
from perfwatch.agent.correlator.wording import percent
from perfwatch.agent.model import told_route
from perfwatch.agent.report_cells import bar, cells, clean, fit
from perfwatch.agent.report_layout import block, rule, shown_ms, time_of_day
from perfwatch.agent.report_places import place_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from perfwatch.agent.model import Bucket, Mechanism, Principle
    from perfwatch.agent.report_contract import EndpointReport, OpenReport, Report, RequestReport

LETTERS: Final[dict[Principle, str]] = {
    "efficiency": "E",
    "concurrency": "C",
    "capacity": "K",
    "healthy": "·",
    "unknown": "?",
}
GLYPHS: Final[dict[Bucket, str]] = {
    "queue": "▓",
    "on_cpu": "█",
    "gil": "▚",
    "lock": "▒",
    "loop": "o",
    "run_queue": "≡",
    "disk": "▤",
    "fault": "▥",
    "calls": "░",
    "sleep": "z",
    "receive": "«",
    "send": "»",
    "child": "c",
    "other": "?",
}
_OPEN_GLYPH: Final = "·"
_OUTCOMES: Final = {"answered": "-", "aborted": "cut", "died": "died"}
"""In place of a status."""
_WIDE: Final = 96
_ENDPOINTS: Final = 12
_REQUESTS: Final = 10


def endpoint_table(endpoints: Sequence[EndpointReport], width: int) -> list[str]:
    """List the endpoints, and what the glyphs of their bars stand for."""
    if not endpoints:
        return []
    shown = endpoints[:_ENDPOINTS]
    drawn, caused = (20, 16) if width >= _WIDE else (10, 10)
    named = width - drawn - caused - 36
    head = f"{'slow/all':>9}  {'p50':>7}  {'p95':>7}  {fit('time', drawn)}  cause"
    lines = [rule("endpoints", width), f"   {fit('endpoint', named)}  {head}"]
    for one in shown:
        name = fit(clean(f"{one.method} {told_route(one.route, one.service)}"), named)
        counts = f"{_count(one.slow_count)}/{_count(one.count)}"
        p50, p95 = shown_ms(one.latency_ms.p50), shown_ms(one.latency_ms.p95)
        spent = bar(shares(one.ledger_ms, one.unaccounted_ms), drawn)
        cause = fit(_cause(one.mechanism, one.share), caused)
        line = f"{LETTERS[one.principle]}  {name}  {counts:>9}  {p50:>7}  {p95:>7}  {spent}  {cause}"
        lines.append(fit(line, width))
    if len(endpoints) > len(shown):
        lines.append(f"   and {len(endpoints) - len(shown)} more")
    return [*lines, *block("   ", _legend(shown), width)]


def request_table(requests: Sequence[RequestReport], width: int) -> list[str]:
    """List the slowest requests that were judged."""
    if not requests:
        return []
    slowest = sorted(requests, key=lambda one: -one.duration_ms)[:_REQUESTS]
    named = min(max(map(cells, map(_name, slowest))), max(width - 72, 16))
    numbered = max(len(f"#{one.id}") for one in slowest)
    lines = [rule(f"slowest requests ({len(slowest)} of {len(requests)} judged)", width)]
    for one in slowest:
        at = time_of_day(one.start)
        name = fit(_name(one), named)
        status = f"grpc {one.grpc_status}" if one.grpc_status else one.status
        status = status or ("-" if one.outcome == "answered" else one.outcome)
        took, letter = shown_ms(one.duration_ms), LETTERS[one.principle]
        line = f"{at}  {f'#{one.id}':>{numbered}}  {name}  {took:>7}  {status!s:>7}  {letter} {one.summary}"
        lines.append(fit(clean(line), width))
    return lines


def open_table(report: Report, width: int) -> list[str]:
    """List the oldest requests that had not ended."""
    if not report.in_flight_count:
        return []
    lines = [rule(f"in flight at the end ({report.in_flight_count})", width)]
    return [*lines, *(_open(one, width) for one in report.in_flight[:_REQUESTS])]


def _open(one: OpenReport, width: int) -> str:
    place = place_in(one.frames)
    where = place or one.call
    doing = f"{one.state}" + (f" in {where}" if where else "") + (f" for {one.peer}" if one.peer else "")
    thread = f"pid {one.pid}, thread {one.tid}"
    return fit(f"{shown_ms(one.age_ms):>7}  {_name(one)}  {clean(f'{doing}; {thread}')}", width)


def _name(one: RequestReport | OpenReport) -> str:
    return clean(asked_for(one.method, one.target))


def _count(number: int) -> str:
    """Return a count in at most 4 characters or so: `402`, `5.1k`, `812k`."""
    if number < 1000:  # noqa: PLR2004
        return str(number)
    return f"{number / 1e3:.1f}k" if number < 10_000 else f"{number // 1000}k"  # noqa: PLR2004


def _cause(mechanism: Mechanism | None, share: float) -> str:
    return f"{mechanism} {percent(share)}" if mechanism else "-"


def shares(ledger_ms: Mapping[Bucket, float], unaccounted_ms: float) -> list[tuple[str, float]]:
    """Return the parts of a bar: a glyph and its time."""
    booked = [(GLYPHS[bucket], spent_ms) for bucket, spent_ms in ledger_ms.items()]
    return [*booked, (_OPEN_GLYPH, unaccounted_ms)]


def _legend(endpoints: Iterable[EndpointReport]) -> str:
    used = {bucket for one in endpoints for bucket, spent_ms in one.ledger_ms.items() if spent_ms > 0}
    told = [f"{glyph} {bucket}" for bucket, glyph in GLYPHS.items() if bucket in used]
    return ", ".join([*told, f"{_OPEN_GLYPH} unaccounted"])
