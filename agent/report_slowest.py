"""Which of a report's requests are shown where there is no room for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.agent.report_contract import RequestReport


def slowest(requests: Iterable[RequestReport], most: int) -> list[RequestReport]:
    """Return the slowest of some requests: of each endpoint its slowest, then what is left; the slowest first."""
    ranked = sorted(requests, key=_fastest_last)
    firsts = {(one.method, one.route, one.service): one.id for one in reversed(ranked)}
    chosen = sorted(ranked, key=lambda one: firsts[one.method, one.route, one.service] != one.id)[:most]
    return sorted(chosen, key=_fastest_last)


def _fastest_last(one: RequestReport) -> float:
    return -one.duration_ms
