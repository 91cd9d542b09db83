"""The report as Markdown for an incident ticket: what is slow, where, why, who, and what to do; then the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.because import also, facts, is_told
from perfwatch.agent.correlator.routes import asked_for
from perfwatch.agent.correlator.wording import duration, percent
from perfwatch.agent.markdown_text import bullets, code, prose, table
from perfwatch.agent.model import told_route
from perfwatch.agent.report_gains import gains_of_verdict
from perfwatch.agent.report_layout import moment, shown_ms, time_of_day
from perfwatch.agent.report_places import place_words
from perfwatch.agent.report_queues import cost_notes
from perfwatch.agent.report_slowest import slowest
from perfwatch.agent.report_text import gap_of, host_size, lacking, runs_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from perfwatch.agent.model import Bucket
    from perfwatch.agent.report_contract import EndpointReport, Judgement, Report, RequestReport

_ENDPOINTS: Final = 20
_REQUESTS: Final = 10
_EXPLAINED: Final = 3
_EVIDENCE: Final = 8
_PLACES: Final = 5
_PARTS: Final = 4
_LEAST: Final = 0.01


def to_markdown(report: Report) -> str:
    """Return the ticket."""
    sections = (
        [f"# {prose(report.verdict.summary)}"],
        _facts(report),
        _where(report),
        _why(report.verdict),
        _do(report),
        _endpoints(report),
        *_requests(report),
        _recording(report),
    )
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def _facts(report: Report) -> list[str]:
    """Say what was watched, when, and how bad it is."""
    session, verdict, totals = report.session, report.verdict, report.requests
    cause = f"**{verdict.principle}**" + (f", **{verdict.mechanism}**" if verdict.mechanism else "")
    latency = totals.latency_ms
    spread = (
        ""
        if latency is None
        else f"; p50 {shown_ms(latency.p50)}, p95 {shown_ms(latency.p95)}, p99 {shown_ms(latency.p99)}"
    )
    failed = f"{totals.errors} failed" if totals.errors else "none failed"
    others = [f"**And** {_target(one.pid, one.server)}: {code(one.command)}" for one in session.targets[1:]]
    started = moment(session.started_at, "%Y-%m-%d %H:%M:%S")
    return bullets(
        (
            f"**What** {cause}: {percent(verdict.share)} of the time, confidence {percent(verdict.confidence)}",
            f"**Server** {_target(session.pid, session.server)}: {code(session.command)}",
            *others,
            f"**When** {started} UTC, for {duration(session.duration_s * 1e9)}, on {code(session.host.hostname)}",
            f"**How bad** {totals.slow_count} of {totals.count} requests slow, {failed}{spread}",
        )
    )


def _target(pid: int, server: str | None) -> str:
    return f"{code(server)} (pid {pid})" if server else f"pid {pid}"


def _where(report: Report) -> list[str]:
    """Say where in the code, of the endpoint that costs its users most."""
    first = next(iter(report.endpoints), None)
    places = [] if first is None else bullets(code(place_words(one)) for one in first.frames[:_PLACES])
    return [f"## Where{'' if first is None else ': ' + _name(first)}", "", *places] if places else []


def _why(one: Judgement) -> list[str]:
    others = also(one.causes, one.mechanism)
    told = [prose(fact.text) for fact in facts(one.evidence, _EVIDENCE)]
    why = bullets((*told, f"{'also' if one.mechanism else 'seen'}: {others}" if others else ""))
    chain = [] if is_told(one.chain) else one.chain
    who = [f"{'  ' * depth}- {prose(link.text)}" for depth, link in enumerate(chain)]
    return [*(["## Why", "", *why] if why else []), *(["", "## Who", "", *who] if who else [])]


def _do(report: Report) -> list[str]:
    """Say what to do, what that would bring, and what hangs."""
    one = report.verdict
    steps = [f"{number}. {prose(advice)}" for number, advice in enumerate(one.advice, 1)]
    gained = [prose(gain) for gain in gains_of_verdict(report)]
    stuck = [prose(lock.summary) for lock in report.deadlocks]
    lines = ["## What to do", "", *steps] if steps else []
    lines += ["", "What that would bring, predicted:", "", *bullets(gained)] if gained else []
    return [*lines, *(["", "Hangs at the end:", "", *bullets(stuck)] if stuck else [])]


def _endpoints(report: Report) -> list[str]:
    heads = ("Endpoint", "Slow:", "All:", "Failed:", "p50:", "p95:", "Cause", "Where its time goes")
    rows = table(heads, map(_endpoint, report.endpoints[:_ENDPOINTS]))
    left = len(report.endpoints) - _ENDPOINTS
    more = ["", f"And {left} more."] if left > 0 else []
    return ["## Endpoints", "", *rows, *more] if rows else []


def _endpoint(one: EndpointReport) -> tuple[str, ...]:
    counts = (str(one.slow_count), str(one.count), str(one.errors))
    cause = f"{one.mechanism} {percent(one.share)}" if one.mechanism else one.principle
    spent = _spent(one.ledger_ms, one.unaccounted_ms)
    return (_name(one), *counts, shown_ms(one.latency_ms.p50), shown_ms(one.latency_ms.p95), cause, spent)


def _requests(report: Report) -> Iterator[list[str]]:
    """Yield the table of the slowest requests, then the evidence for the first of them."""
    told = slowest(report.slow_requests, _REQUESTS)
    if told:
        heads = ("At (UTC)", "Request", "Took:", "Status", "Cause", "Why")
        judged = len(report.slow_requests) + report.slow_requests_omitted
        yield [f"## Slowest requests ({len(told)} of {judged} judged)", "", *table(heads, map(_request, told))]
    for one in told[:_EXPLAINED]:
        spent = _spent(one.ledger_ms, one.unaccounted_ms)
        evidence = [prose(fact.text) for fact in facts(one.evidence, _EVIDENCE)]
        places = [f"in the code: {code(place_words(frame))}" for frame in one.frames[:_PLACES]]
        yield [f"### {_asked(one)}, {shown_ms(one.duration_ms)}", "", *bullets((spent, *evidence, *places))]


def _request(one: RequestReport) -> tuple[str, ...]:
    status = f"grpc {one.grpc_status}" if one.grpc_status else str(one.status or one.outcome)
    cause = one.mechanism or one.principle
    return (time_of_day(one.start), _asked(one), shown_ms(one.duration_ms), status, cause, prose(one.summary))


def _recording(report: Report) -> list[str]:
    """Say how this was measured, and what is missing of it."""
    session, host = report.session, report.session.host
    gaps = [gap_of(probe) for probe in session.probes if probe.status != "running"]
    texts = (*lacking(report), *gaps, *cost_notes(report))
    facts_told = (
        f"{session.fidelity}, Python {prose(session.python or '?')}, perfwatch {prose(session.perfwatch_version)}",
        f"Linux {prose(host.kernel)} {prose(host.machine)}, {host_size(host)}",
        f"listening on {', '.join(map(code, session.listeners)) or 'no socket'}",
        *([f"in {prose(runs_in(session))}"] if session.container else []),
    )
    return ["## The recording", "", *bullets((*facts_told, *map(prose, texts)))]


def _name(one: EndpointReport) -> str:
    return code(f"{one.method} {told_route(one.route, one.service)}")


def _asked(one: RequestReport) -> str:
    return code(asked_for(one.method, one.target))


def _spent(ledger_ms: Mapping[Bucket, float], unaccounted_ms: float) -> str:
    """Say where time went, the largest part first: `lock 391 ms (76 %), calls 71 ms (14 %)`."""
    parts: list[tuple[str, float]] = [*ledger_ms.items(), ("unaccounted", unaccounted_ms)]
    total = sum(spent for _, spent in parts)
    largest = sorted((part for part in parts if total > 0 and part[1] >= _LEAST * total), key=lambda part: -part[1])
    return ", ".join(f"{prose(name)} {shown_ms(spent)} ({percent(spent / total)})" for name, spent in largest[:_PARTS])
