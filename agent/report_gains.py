"""What would be gained, in words: an endpoint without what makes it slow, a server with more workers or cores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.wording import duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.model import Latency, Mechanism, Scalability, View, WhatIf
    from perfwatch.agent.report_contract import Report

_TEN: Final = 9.95


def gains(what_if: Sequence[WhatIf], latency_ms: Latency) -> Iterator[str]:
    """Say of each mechanism what an endpoint would take without it."""
    for one in what_if:
        yield f"without {one.mechanism}: {_falls(one, latency_ms)}"


def gain_of(mechanism: Mechanism | None, what_if: Sequence[WhatIf], latency_ms: Latency) -> str | None:
    """Say what an endpoint would take without one mechanism; None where nothing is predicted of it."""
    return next((f"without it: {_falls(one, latency_ms)}" for one in what_if if one.mechanism == mechanism), None)


def gains_of_verdict(report: Report) -> Iterator[str]:
    """Say what the verdict's advice would bring its costliest endpoint; nothing where that is not predicted."""
    if report.endpoints and report.verdict.what_if_p95_ms is not None:
        first = report.endpoints[0]
        yield from gains(first.what_if, first.latency_ms)


def gain_of_all(view: View) -> str | None:
    """Say what the session's verdict would bring where it is that of its costliest endpoint, as it mostly is."""
    first = next(iter(view.endpoints), None)
    if first is None or first.verdict != view.verdict:
        return None
    return gain_of(view.verdict.mechanism, first.what_if, first.latency_ms)


def _falls(one: WhatIf, latency_ms: Latency) -> str:
    p95, p50 = (
        f"{name} {duration(now_ms * 1e6)} → {duration(then_ms * 1e6)}"
        for name, now_ms, then_ms in (("p95", latency_ms.p95, one.p95_ms), ("p50", latency_ms.p50, one.p50_ms))
    )
    return f"{p95} ({p50})"


def scaling(one: Scalability) -> Iterator[str]:
    """Say what the Universal Scalability Law tells of the session, and what more workers or cores would bring."""
    low, high = one.concurrency
    serial, pairs = one.contention, 100 * one.coherency.value
    told = f"contention {percent(serial.value)} ({_between(serial.low, serial.high)}), coherency {pairs:.2g} %"
    alone = f"one request at a time gives {_rate(one.rate_rps.value)}"
    yield f"{told}; {alone}; seen with {low:.1f} to {high:.1f} at a time"
    yield _more(one, high)


def _more(one: Scalability, seen: float) -> str:
    if one.knee is not None and one.peak_rps is not None and one.knee <= seen:
        most = f"throughput is largest, {_rate(one.peak_rps)}, with {one.knee:.1f} at a time"
        return f"{most}: more workers or cores would bring none, they would wait for each other"
    gain = _throughput(one, 2 * seen) / _throughput(one, seen) - 1
    told = f"workers and cores for twice as many at a time would bring {percent(max(gain, 0.0))} more throughput"
    if one.knee is not None and one.peak_rps is not None:
        return f"{told}; the most is {_rate(one.peak_rps)}, with {one.knee:.1f} at a time"
    limit = one.rate_rps.value / one.contention.value if one.contention.low > 0 else None
    return told if limit is None else f"{told}; no number of them more than {_rate(limit)}"


def _throughput(one: Scalability, concurrency: float) -> float:
    others = concurrency - 1
    slowed = 1 + one.contention.value * others + one.coherency.value * concurrency * others
    return one.rate_rps.value * concurrency / slowed


def _between(low: float, high: float) -> str:
    return f"{100 * low:.0f}-{percent(high)}"


def _rate(rate_rps: float) -> str:
    return f"{rate_rps:.0f}/s" if rate_rps >= _TEN else f"{rate_rps:.1f}/s"
