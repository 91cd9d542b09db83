"""Two sections of a text report: slow requests beside normal ones, and what would make requests cheaper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.model import told_route
from perfwatch.agent.report_cells import bar, clean, fit
from perfwatch.agent.report_layout import block, rule, shown_ms
from perfwatch.agent.report_tables import LETTERS, shares

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perfwatch.agent.model import Bucket
    from perfwatch.agent.report_contract import EndpointReport, Report

_COMPARED: Final = 4
_SHOWN: Final = 8


def normal_section(report: Report, width: int) -> list[str]:
    """Draw the mean slow ledger of each slow endpoint, and the normal one below it, on one scale."""
    compared = [one for one in report.endpoints if one.slow_count and one.normal_ledger_ms is not None][:_COMPARED]
    if not compared:
        return []
    return [rule("slow against normal", width), *(line for one in compared for line in _two_bars(one, width))]


def _two_bars(one: EndpointReport, width: int) -> list[str]:
    normal, open_ms = one.normal_ledger_ms or {}, one.normal_unaccounted_ms or 0.0
    slow_ms, normal_ms = _total(one.ledger_ms, one.unaccounted_ms), _total(normal, open_ms)
    room, longest = max(width - 30, 10), max(slow_ms, normal_ms)
    lines = [fit(clean(f"{LETTERS[one.principle]}  {one.method} {told_route(one.route, one.service)}"), width)]
    rows = (
        ("slow", one.judged_count, slow_ms, one.ledger_ms, one.unaccounted_ms),
        ("normal", one.normal_count, normal_ms, normal, open_ms),
    )
    for name, count, total_ms, ledger_ms, unaccounted_ms in rows:
        cells = max(round(room * total_ms / longest), 1) if longest > 0 else 0
        drawn = bar(shares(ledger_ms, unaccounted_ms), cells)
        lines.append(f"   {name:<6} {count:>7}  {shown_ms(total_ms):>7}  {drawn}")
    return lines


def _total(ledger_ms: Mapping[Bucket, float], unaccounted_ms: float) -> float:
    return sum(ledger_ms.values()) + unaccounted_ms


def chances_section(report: Report, width: int) -> list[str]:
    """List what would make requests cheaper, with what to do."""
    if not report.opportunities:
        return []
    lines = [rule("opportunities: cheaper, though not why it is slow", width)]
    for one in report.opportunities[:_SHOWN]:
        lines += block(f"{one.kind:<17}  ", one.text, width)
        lines += [line for advice in one.advice[:1] for line in block(f"{'':<17}  do  ", advice, width)]
    more = len(report.opportunities) - _SHOWN
    return [*lines, f"and {more} more"] if more > 0 else lines
