"""The section on endpoints: each with its figures and its ledger; unfolded why, what to do and what that brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.wording import percent
from perfwatch.agent.model import told_route
from perfwatch.agent.report_calls import in_each
from perfwatch.agent.report_gains import gains
from perfwatch.agent.report_html.bars import ledger, parts_of
from perfwatch.agent.report_html.markup import Html, element, folded, joined, listed, section, table
from perfwatch.agent.report_html.summary import badge, reasons
from perfwatch.agent.report_layout import shown_ms
from perfwatch.agent.report_places import place_words

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from perfwatch.agent.report_contract import EndpointReport, Frame, Report

_TOLD: Final = 100
"""So many endpoints; the costliest come first."""
_CALLED: Final = 5
_PLACES: Final = 5
_LETTERS: Final = (
    "E efficiency · C concurrency · K capacity · ? unknown · the bar: the mean ledger of its slow requests"
)


def endpoints(report: Report, linked: Container[int]) -> Html:
    """Return the endpoints, the one that costs its users most first."""
    told = report.endpoints[:_TOLD]
    left = len(report.endpoints) - len(told)
    more = element("p", f"and {left} more endpoints", class_="quiet") if left else None
    about = element("p", _LETTERS, class_="quiet")
    return section("endpoints", "Endpoints", about, *(_endpoint(one, linked) for one in told), more) if told else Html()


def opportunities(report: Report) -> Html:
    """List what would make requests cheaper, and is not why they are slow."""
    rows = (
        (one.kind, joined((one.text, listed(one.advice))), "" if one.saves_ms is None else shown_ms(one.saves_ms))
        for one in report.opportunities
    )
    heads = ("kind", "cheaper, though not why it is slow", "saves, each")
    return section("opportunities", "Opportunities", table(heads, rows, frozenset({2})))


def figures(pairs: Iterable[tuple[str, str]]) -> Html:
    """Return figures with their names."""
    return element(
        "span", *(element("span", f"{name} ", element("b", value)) for name, value in pairs), class_="figures"
    )


def places(frames: Iterable[Frame]) -> Html:
    """Say where in the code that was."""
    return listed(place_words(frame) for frame in list(frames)[:_PLACES])


def _endpoint(one: EndpointReport, linked: Container[int]) -> Html:
    line = element(
        "div",
        badge(one.principle),
        element("h3", f"{one.method} {told_route(one.route, one.service)}", class_="name"),
        figures(_figures(one)),
        element("span", one.summary, class_="about"),
        class_="row",
    )
    bar = ledger(parts_of(one.ledger_ms, one.unaccounted_ms))
    return element("article", line, bar, folded("why, and what to do", *_unfolded(one, linked)), class_="endpoint")


def _figures(one: EndpointReport) -> Iterator[tuple[str, str]]:
    yield "slow", f"{one.slow_count} of {one.count}"
    if one.errors:
        yield "failed", str(one.errors)
    yield "p50", shown_ms(one.latency_ms.p50)
    yield "p95", shown_ms(one.latency_ms.p95)
    yield "longest", shown_ms(one.latency_ms.max)


def _unfolded(one: EndpointReport, linked: Container[int]) -> Iterator[Html]:
    if one.mechanism:
        sure = (
            f"{one.principle}, {one.mechanism}: {percent(one.share)} of its time; confidence {percent(one.confidence)}"
        )
        yield element("p", sure, class_="quiet")
    yield reasons(one, linked, one.advice, gains(one.what_if, one.latency_ms))
    code, calls = places(one.frames), listed(in_each(one.downstream[:_CALLED]))
    if code:
        yield element("h4", "Where in the code")
        yield code
    if calls:
        yield element("h4", "Calls of one request, on average")
        yield calls
    if one.slow_count and one.normal_ledger_ms is not None:
        yield element("h4", f"A normal one, over {one.normal_count}, on the scale of the slow ones below")
        whole = sum(one.ledger_ms.values()) + one.unaccounted_ms
        yield ledger(parts_of(one.normal_ledger_ms, one.normal_unaccounted_ms or 0.0), whole)
