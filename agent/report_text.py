"""The report as text, for a tired person: the verdict first, then where the time went, then the rest.

Without colours; a principle has a letter, a bucket a glyph. Every string is made harmless before it is
set. Times of day are UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.because import also, facts, is_told
from perfwatch.agent.correlator.wording import duration, percent
from perfwatch.agent.report_calls import called_section, downstream_section
from perfwatch.agent.report_cells import clean, fit
from perfwatch.agent.report_chances import chances_section, normal_section
from perfwatch.agent.report_gains import gain_of, gains_of_verdict
from perfwatch.agent.report_layout import block, moment, rule, shown_ms
from perfwatch.agent.report_places import code_section
from perfwatch.agent.report_queues import cost_notes, queue_section, resource_section
from perfwatch.agent.report_tables import LETTERS, endpoint_table, open_table, request_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.report_contract import (
        ChainLink,
        EndpointReport,
        Host,
        Judgement,
        Probe,
        Report,
        Session,
        Target,
    )

LEAST_WIDTH: Final = 72
_EXPLAINED: Final = 4
_EVENTS: Final = 10
_TARGETS: Final = 15
_EVIDENCE: Final = 8
_FACTS: Final = 3


def to_text(report: Report, width: int = 100) -> str:
    """Return the report as lines of at most `width` cells (at least 72)."""
    width = max(width, LEAST_WIDTH)
    sections = (
        _head(report, width),
        _sampled(report, width),
        _verdict(report, width),
        _stuck(report, width),
        _totals(report, width),
        endpoint_table(report.endpoints, width),
        normal_section(report, width),
        code_section(report, width),
        _explained(report, width),
        chances_section(report, width),
        request_table(report.slow_requests, width),
        called_section(report, width),
        downstream_section(report, width),
        open_table(report, width),
        queue_section(report, width),
        resource_section(report, width),
        _notes(report, width),
    )
    return "\n\n".join("\n".join(line.rstrip() for line in section) for section in sections if section) + "\n"


def _head(report: Report, width: int) -> list[str]:
    session, host = report.session, report.session.host
    python = f"Python {session.python}" if session.python else "Python ?"
    what = " · ".join((f"pid {session.pid}", session.server or "unknown server", python, session.fidelity))
    where = f"on {host.hostname} (Linux {host.kernel} {host.machine}, {host_size(host)})"
    started = moment(session.started_at, "%Y-%m-%d %H:%M:%S")
    when = f"{started} UTC, {duration(session.duration_s * 1e9)}, {where}"
    ports = ", ".join(session.listeners) or "no socket"
    what = f"perfwatch report · {what}"
    whose = f"pid {session.pid} " if session.targets else ""
    inside = [f"{whose}in {runs_in(session)}"] if session.container else []
    lines = [what, session.command, *inside, *also_watched(session), when, f"listening on {ports}"]
    return [fit(clean(line), width) for line in lines]


def host_size(host: Host) -> str:
    """Say how large a host is: `16 CPUs, 31.2 GiB`."""
    return f"{host.cpus} CPUs, {host.memory_bytes / 2**30:.1f} GiB"


def runs_in(target: Session | Target) -> str:
    """Say what a target runs in: `container shop (shop:1.2), docker`; empty where in none."""
    one = target.container
    if one is None:
        return ""
    return ", ".join(filter(None, (f"container {one.named}", one.pod and f"pod {one.pod}", one.runtime)))


def also_watched(session: Session) -> list[str]:
    """Say which other processes were watched, one a line."""
    others = session.targets[1:]
    lines = [
        f"and pid {one.pid} · {one.server or 'unknown server'} · Python {one.python or '?'}: {one.command}"
        + (f", in {runs_in(one)}" if one.container else "")
        for one in others[:_TARGETS]
    ]
    return [*lines, f"and {len(others) - _TARGETS} more"] if len(others) > _TARGETS else lines


def _sampled(report: Report, width: int) -> list[str]:
    """Say plainly that this is an estimate, what is lost, and which command would give it."""
    if report.session.fidelity != "sampled":
        return []
    lines = block("!  ", "sampled, not measured: ledgers are estimates, and short waits are missed", width)
    ledger = next((probe for probe in report.session.probes if probe.name == "ledger"), None)
    if ledger is not None:
        told = (("why", ledger.reason), ("lost", ledger.missing), ("do", ledger.remedy))
        for label, text in told:
            lines += block(f"   {label:<4} ", text, width) if text else []
    return lines


def _verdict(report: Report, width: int) -> list[str]:
    verdict = report.verdict
    lines = [rule("verdict", width), *block(f"{LETTERS[verdict.principle]}  ", verdict.summary, width)]
    if verdict.mechanism is not None:
        sure = f"{verdict.principle}, {verdict.mechanism}; confidence {percent(verdict.confidence)}"
        lines += block("   ", sure, width)
    lines += chain_lines(verdict.chain, width)
    lines += _because(verdict, _EVIDENCE, width)
    for advice in verdict.advice:
        lines += block("   do   ", advice, width)
    return lines + [line for gain in gains_of_verdict(report) for line in block("   gain ", gain, width)]


def _because(one: Judgement | EndpointReport, most: int, width: int) -> list[str]:
    """Say what else it is, and the facts."""
    others = also(one.causes, one.mechanism)
    lines = block("   also " if one.mechanism else "   seen ", others, width) if others else []
    return lines + [line for fact in facts(one.evidence, most) for line in block("   why  ", fact.text, width)]


def chain_lines(chain: Sequence[ChainLink], width: int) -> list[str]:
    """Return a chain of blame as an indented list."""
    if is_told(chain):
        return []
    leads = (f"   {'by' if depth == 0 else '':<4} {'  ' * depth}" for depth in range(len(chain)))
    return [line for lead, one in zip(leads, chain, strict=True) for line in block(lead, one.text, width)]


def _stuck(report: Report, width: int) -> list[str]:
    """Name those that wait for each other."""
    lines: list[str] = []
    for one in report.deadlocks:
        lines += block("!  ", one.summary, width)
        lines += [line for member in one.members for line in block("   ", member.text, width)]
    return [rule("deadlocks", width), *lines] if lines else []


def _totals(report: Report, width: int) -> list[str]:
    totals = report.requests
    threshold = (
        "over 3 times the endpoint's median or 500 ms, and at least 20 ms"
        if totals.slow_threshold_ms is None
        else f"at least {totals.slow_threshold_ms:g} ms"
    )
    rates = f"{totals.throughput_rps:.1f}/s, {totals.concurrency:.1f} at a time"
    lines = [f"{totals.count} requests ({rates}), {totals.errors} failed, {totals.slow_count} slow ({threshold})"]
    if totals.latency_ms is not None:
        latency = totals.latency_ms
        figures = {"p50": latency.p50, "p90": latency.p90, "p95": latency.p95, "p99": latency.p99}
        told = ", ".join(f"{name} {shown_ms(value)}" for name, value in (figures | {"max": latency.max}).items())
        lines.append(f"latency: {told}")
    used = {"cpu": report.saturation.cpu, "memory": report.saturation.memory}
    told = ", ".join(f"{name} {percent(value)}" for name, value in used.items() if value is not None)
    if told and not report.saturation.resources:
        lines.append(f"used of the host: {told}")
    return [rule("requests", width), *(line for text in lines for line in block("", text, width))]


def _explained(report: Report, width: int) -> list[str]:
    """Say why of the endpoints that the verdict on the session does not speak of."""
    others = [one for one in report.endpoints if one.principle != "healthy" and one.summary != report.verdict.summary][
        :_EXPLAINED
    ]
    lines: list[str] = []
    for one in others:
        lines += block(f"{LETTERS[one.principle]}  ", one.summary, width)
        lines += chain_lines(one.chain, width)
        lines += _because(one, _FACTS, width)
        lines += [line for advice in one.advice[:1] for line in block("   do   ", advice, width)]
        gain = gain_of(one.mechanism, one.what_if, one.latency_ms)
        lines += block("   gain ", gain, width) if gain else []
    return [rule("also", width), *lines] if lines else []


def _notes(report: Report, width: int) -> list[str]:
    session = report.session
    texts = [*report.notes]
    texts += [session.target_gone] if session.target_gone else []
    texts += [f"lost: {probe.lost} events of {probe.name}" for probe in session.probes if probe.lost]
    if report.lost and not any(probe.lost for probe in session.probes):
        texts.append(f"lost: {report.lost} events")
    texts += [gap_of(probe) for probe in session.probes if probe.status != "running" and not _is_told(report, probe)]
    texts += cost_notes(report)
    texts += [f"{moment(one.at, '%H:%M:%S')}  {one.text}" for one in report.events[-_EVENTS:]]
    if not report.lost:
        texts.append("no events were lost")
    return [rule("notes", width), *(line for text in texts for line in block("", text, width))]


def _is_told(report: Report, probe: Probe) -> bool:
    """Tell whether the top of the report has said of this probe why it did not run."""
    return report.session.fidelity == "sampled" and probe.name == "ledger"


def lacking(report: Report) -> list[str]:
    """Say what a recording lacks as a whole, or that no event does; untrusted."""
    gone = [report.session.target_gone] if report.session.target_gone else []
    return [*report.notes, *gone, f"{report.lost} events were lost" if report.lost else "no events were lost"]


def gap_of(probe: Probe) -> str:
    """Say why a probe did not run, or in part, and what to do; untrusted."""
    did = "ran in part" if probe.status == "limited" else "did not run"
    missing = f"; not known: {probe.missing}" if probe.missing else ""
    remedy = f"; to change that: {probe.remedy}" if probe.remedy else ""
    return f"{probe.name} {did}: {probe.reason or 'no reason given'}{missing}{remedy}"
