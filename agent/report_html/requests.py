"""The section on slow requests: each unfolds to its ledger, course, evidence, chain, code and calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.wording import at, percent
from perfwatch.agent.report_calls import kept_by
from perfwatch.agent.report_html.bars import ledger, parts_of
from perfwatch.agent.report_html.calls import called
from perfwatch.agent.report_html.endpoints import figures, places
from perfwatch.agent.report_html.markup import Html, element, folded, listed, section
from perfwatch.agent.report_html.steps import steps_of
from perfwatch.agent.report_html.summary import badge, reasons
from perfwatch.agent.report_layout import moment, shown_ms
from perfwatch.agent.report_slowest import slowest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from perfwatch.agent.course_step import Step
    from perfwatch.agent.report_contract import Blocker, Report, RequestReport

_TOLD: Final = 50
_BLOCKERS: Final = 5


def requests(report: Report, courses: Mapping[int, Sequence[Step]]) -> Html:
    """Return the slowest requests; `courses` are those of some of them, by id."""
    told = slowest(report, _TOLD)
    judged = len(report.slow_requests) + report.slow_requests_omitted
    about = f"The slowest {len(told)} of {judged} judged requests, at least one of each endpoint. Times are UTC."
    rows = (_request(one, courses.get(one.id, ())) for one in told)
    return section("requests", "Slow requests", element("p", about, class_="quiet"), *rows) if told else Html()


def _request(one: RequestReport, steps: Sequence[Step]) -> Html:
    name = f"{one.method or '?'} {one.target or '(path not seen)'}"
    line = element(
        "span",
        badge(one.principle),
        element("b", name, class_="name"),
        figures(_figures(one)),
        element("span", one.summary, class_="about"),
        class_="row",
    )
    return element("article", folded(line, *_unfolded(one, steps)), id=f"request-{one.id}", class_="request")


def _figures(one: RequestReport) -> Iterator[tuple[str, str]]:
    yield "took", shown_ms(one.duration_ms)
    status = f"grpc {one.grpc_status}" if one.grpc_status else str(one.status or "")
    yield "status", status or one.outcome
    yield "at", moment(one.start, "%H:%M:%S.%f")[:12]


def _unfolded(one: RequestReport, steps: Sequence[Step]) -> Iterator[Html]:
    if one.mechanism:
        sure = f"{one.principle}, {one.mechanism}; confidence {percent(one.confidence)}"
        yield element("p", f"#{one.id}, process {one.pid}, thread {one.tid} · {sure}", class_="quiet")
    yield ledger(parts_of(one.ledger_ms, one.unaccounted_ms))
    yield reasons(one)
    yield steps_of(steps, one.duration_ms)
    named = (
        ("Where in the code", places(one.frames)),
        ("Who ended its waits", listed(map(_blocker, one.blockers[:_BLOCKERS]))),
        (
            "What its calls were at their other ends",
            listed(f"{c.method} {c.route} in {c.process}: {c.summary}" for c in one.callees),
        ),
        ("Who kept its event loop", listed([kept_by(one.culprits)] if one.culprits else [])),
        ("Its calls", called(one)),
        ("As it was said live", listed(_recorded(one))),
    )
    for title, content in named:
        if content:
            yield element("h4", title)
            yield content


def _blocker(one: Blocker) -> str:
    place = f" in {at(one.function, one.file or '', one.line or 0)}" if one.function else ""
    return f"{percent(one.share)} {one.kind}: {one.thread} (pid {one.pid}, thread {one.tid}){place}"


def _recorded(one: RequestReport) -> Iterator[str]:
    """Say what was said live, where that is something else."""
    if one.recorded is not None and one.recorded.summary != one.summary:
        yield one.recorded.summary
