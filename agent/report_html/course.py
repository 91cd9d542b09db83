"""The section on time: latency, throughput, errors, saturation and what was open, over the whole recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.wording import duration, percent
from perfwatch.agent.report_html.charts import Chart, Times, chart
from perfwatch.agent.report_html.curves import Line
from perfwatch.agent.report_html.markup import Html, element, section
from perfwatch.agent.report_layout import shown_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.report_contract import Report
    from perfwatch.agent.report_contract_timeline import Moment

_MOST: Final = 0.9


def course(report: Report) -> Html:
    """Return the charts; nothing where the course is not known."""
    moments = _whole(report.timeline)
    if not moments:
        return Html()
    times = Times(moments[0].at, moments[0].length_s, len(moments))
    about = f"Each stretch is {duration(times.length_s * 1e9)} long. Times are UTC."
    drawn = element("div", *(chart(one, times) for one in _charts(report, moments)), class_="charts")
    return section("course", "Over time", element("p", about, class_="quiet"), drawn)


def _whole(moments: Sequence[Moment]) -> Sequence[Moment]:
    """Leave out a last stretch of which too little had passed to be told beside the others."""
    return moments[:-1] if len(moments) > 1 and moments[-1].length_s < _MOST * moments[0].length_s else moments


def _charts(report: Report, moments: Sequence[Moment]) -> Iterator[Chart]:
    totals, latency = report.requests, report.requests.latency_ms
    slow = ("slow requests", [one.slow > 0 for one in moments])
    p50, p95 = ("?", "?") if latency is None else (shown_ms(latency.p50), shown_ms(latency.p95))
    yield Chart(
        "Latency",
        f"p50 {p50}, p95 {p95}",
        [Line("p50", "area", [one.p50_ms for one in moments]), Line("p95", "line", [one.p95_ms for one in moments])],
        shown_ms,
        [slow],
    )
    rates = [one.requests / one.length_s for one in moments]
    yield Chart("Throughput", _rate(totals.throughput_rps), [Line("requests", "area", rates)], _rate)
    failed = totals.errors / totals.count if totals.count else 0.0
    yield Chart(
        "Errors",
        f"{totals.errors} failed, {percent(failed)}",
        [Line("failed requests", "area", [one.errors / one.length_s for one in moments])],
        _rate,
        [("failed requests", [one.errors > 0 for one in moments])],
    )
    yield from _saturation(report, moments)
    most = max(one.in_flight for one in moments)
    open_ = [float(one.in_flight) for one in moments]
    yield Chart(
        "In flight", f"at most {most}", [Line("open requests", "area", open_)], _count, top=float(most + most % 2 or 2)
    )


def _saturation(report: Report, moments: Sequence[Moment]) -> Iterator[Chart]:
    lines = [
        Line("CPU used", "area", [one.cpu for one in moments]),
        Line("waited for CPU", "line", [one.cpu_pressure for one in moments]),
        Line("waited for I/O", "dashed", [one.io_pressure for one in moments]),
    ]
    known = [line for line in lines if any(value is not None for value in line.values)]
    used = report.saturation.cpu
    if known:
        slow = ("slow requests", [one.slow > 0 for one in moments])
        figure = "of the host" if used is None else f"CPU {percent(used)} of the host"
        yield Chart("Saturation", figure, known, percent, [slow], top=1.0)


def _rate(value: float) -> str:
    return f"{value:.0f}/s" if value >= 100 or value == int(value) else f"{value:.1f}/s"  # noqa: PLR2004


def _count(value: float) -> str:
    return f"{value:g}"
