"""The sections on what was still open, and on the recording: the host, the probes and their losses, events, cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.routes import asked_for
from perfwatch.agent.correlator.wording import duration
from perfwatch.agent.report_html.markup import Html, element, folded, listed, section, table
from perfwatch.agent.report_layout import moment, shown_ms
from perfwatch.agent.report_places import place_in
from perfwatch.agent.report_queues import cost_notes
from perfwatch.agent.report_text import gap_of, host_size, lacking, runs_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.report_contract import OpenReport, Probe, Report

_OPEN: Final = 20
_EVENTS: Final = 50


def in_flight(report: Report) -> Html:
    """List the oldest requests that had not ended."""
    rows = (tuple(_open(one)) for one in report.in_flight[:_OPEN])
    title = f"In flight at the end ({report.in_flight_count})"
    return section("in-flight", title, table(("age", "request", "does", "where", "thread"), rows, frozenset({0})))


def recorded(report: Report) -> Html:
    """Say how all this was measured, and what is missing of it."""
    heads = ("probe", "state", "records", "lost", "every", "why")
    probes = table(heads, (tuple(_probe(one)) for one in report.session.probes), frozenset({2, 3, 4}))
    events = listed(f"{moment(one.at, '%H:%M:%S')} {one.text}" for one in report.events[-_EVENTS:])
    return section(
        "recording",
        "The recording",
        element("dl", *(part for name, text in _facts(report) for part in (element("dt", name), element("dd", text)))),
        listed((*lacking(report), *cost_notes(report))),
        listed(map(gap_of, (one for one in report.session.probes if one.status != "running"))),
        folded(f"{len(report.session.probes)} probes, what each read and lost", probes) if probes else None,
        *((element("h3", "Events"), events) if events else ()),
    )


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    session, host = report.session, report.session.host
    yield "host", f"{host.hostname}, Linux {host.kernel} {host.machine}, {host_size(host)}"
    yield "listening on", ", ".join(session.listeners) or "no socket"
    if session.container:
        yield "runs in", runs_in(session)
    yield "fidelity", session.fidelity
    yield "lasted", duration(session.duration_s * 1e9)
    limit = report.requests.slow_threshold_ms
    adaptive = "over 3 times its endpoint's median or over 500 ms, and at least 20 ms"
    yield "slow is", adaptive if limit is None else f"at least {limit:g} ms"
    yield "recorded by", f"perfwatch {session.perfwatch_version}"


def _probe(one: Probe) -> Iterator[str]:
    yield one.name
    yield one.status
    yield "" if one.records is None else str(one.records)
    yield str(one.lost)
    yield "" if one.period_s is None else f"{one.period_s:g} s"
    yield one.reason or ""


def _open(one: OpenReport) -> Iterator[str]:
    yield shown_ms(one.age_ms)
    yield asked_for(one.method, one.target)
    yield f"{one.state} for {one.peer}" if one.peer else one.state
    yield place_in(one.frames) or one.call or ""
    yield f"pid {one.pid}, thread {one.tid}"
