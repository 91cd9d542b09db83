"""The section on slow requests: each unfolds to its ledger, course, evidence, chain, code and calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.routes import asked_for
from perfwatch.agent.correlator.wording import at, percent
from perfwatch.agent.report_calls import kept_by
from perfwatch.agent.report_html.bars import ledger, parts_of
from perfwatch.agent.report_html.calls import called
from perfwatch.agent.report_html.endpoints import figures, places
from perfwatch.agent.report_html.markup import Html, element, folded, listed, section
from perfwatch.agent.report_html.steps import steps_of
from perfwatch.agent.report_html.summary import badge, reasons, request_link
from perfwatch.agent.report_layout import shown_ms, time_of_day

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from perfwatch.agent.course_step import Step
    from perfwatch.agent.report_contract import Blocker, CalleeReport, Report, RequestReport

_BLOCKERS: Final = 5


class Detail(NamedTuple):
    """What is told of a request beside the report."""

    steps: Sequence[Step]
    advice: Sequence[str]


_NONE: Final = Detail((), ())


def requests(report: Report, told: Sequence[RequestReport], details: Mapping[int, Detail]) -> Html:
    """Return some requests; `details` are those of some of them, by id."""
    judged = len(report.slow_requests) + report.slow_requests_omitted
    about = f"{len(told)} of {judged} judged requests: of each endpoint the slowest, then the next. Times are UTC."
    linked = {one.id for one in told}
    rows = (_request(one, details.get(one.id, _NONE), linked) for one in told)
    return section("requests", "Slow requests", element("p", about, class_="quiet"), *rows) if told else Html()


def _request(one: RequestReport, detail: Detail, linked: Container[int]) -> Html:
    name = asked_for(one.method, one.target)
    line = element(
        "span",
        badge(one.principle),
        element("b", name, class_="name"),
        figures(_figures(one)),
        element("span", one.summary, class_="about"),
        class_="row",
    )
    return element("article", folded(line, *_unfolded(one, detail, linked)), id=f"request-{one.id}", class_="request")


def _figures(one: RequestReport) -> Iterator[tuple[str, str]]:
    yield "took", shown_ms(one.duration_ms)
    yield "status", f"grpc {one.grpc_status}" if one.grpc_status else str(one.status or one.outcome)
    yield "at", time_of_day(one.start)


def _unfolded(one: RequestReport, detail: Detail, linked: Container[int]) -> Iterator[Html]:
    if one.mechanism:
        sure = f"{one.principle}, {one.mechanism}; confidence {percent(one.confidence)}"
        yield element("p", f"#{one.id}, process {one.pid}, thread {one.tid} · {sure}", class_="quiet")
    yield ledger(parts_of(one.ledger_ms, one.unaccounted_ms))
    yield reasons(one, linked, detail.advice)
    yield steps_of(detail.steps, one.duration_ms)
    named = (
        ("Where in the code", places(one.frames)),
        ("Who ended its waits", listed(map(_blocker, one.blockers[:_BLOCKERS]))),
        ("What its calls were at their other ends", listed(_callee(callee, linked) for callee in one.callees)),
        ("Who kept its event loop", listed([kept_by(one.culprits)] if one.culprits else [])),
        ("Its calls", called(one)),
        ("As it was said live", listed(_recorded(one))),
    )
    for title, content in named:
        if content:
            yield element("h3", title)
            yield content


def _callee(one: CalleeReport, linked: Container[int]) -> Html:
    text = f"{one.method} {one.route} in {one.process}, {shown_ms(one.duration_ms)}: {one.summary}"
    return request_link(text, one.request, linked)


def _blocker(one: Blocker) -> str:
    place = f" in {at(one.function, one.file or '', one.line or 0)}" if one.function else ""
    return f"{percent(one.share)} {one.kind}: {one.thread} (pid {one.pid}, thread {one.tid}){place}"


def _recorded(one: RequestReport) -> Iterator[str]:
    """Say what was said live, where that is something else."""
    if one.recorded is not None and one.recorded.summary != one.summary:
        yield one.recorded.summary
