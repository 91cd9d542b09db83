"""The parts of an HTML report that need no script: head, verdict, endpoints with their ledgers."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from perfwatch.agent.buckets import COLOUR, MEANING, OPEN_COLOUR, PRINCIPLE_COLOUR
from perfwatch.agent.correlator.because import also, facts, is_told
from perfwatch.agent.correlator.wording import duration, percent
from perfwatch.agent.model import told_route
from perfwatch.agent.report_calls import in_each
from perfwatch.agent.report_cells import clean
from perfwatch.agent.report_gains import gains, scaling
from perfwatch.agent.report_layout import moment, shown_ms
from perfwatch.agent.report_tables import LETTERS
from perfwatch.agent.report_text import also_watched

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from perfwatch.agent.model import Bucket
    from perfwatch.agent.report_contract import ChainLink, EndpointReport, Judgement, Report

STYLE: Final = """
html, body { background: #23282c; color: #d7dce2; font: 15px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 1200px; padding: 16px 24px; }
h1 { font-size: 20px; margin: 0; } h2 { font-size: 16px; margin: 28px 0 8px; }
p { margin: 4px 0; } .quiet { color: #8b95a1; }
pre, .number { font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: 13px; }
pre { background: #1b1f22; padding: 12px; overflow: auto; }
.verdict { border-left: 4px solid; padding: 4px 14px; background: #2a3035; }
table { border-collapse: collapse; width: 100%; }
th { color: #8b95a1; font-weight: 400; text-align: left; } td, th { padding: 4px 12px 4px 0; vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; } td b { font-weight: 600; }
.ledger { display: flex; height: 14px; min-width: 260px; } .ledger i { display: block; height: 100%; }
.parts span { margin-right: 14px; white-space: nowrap; }
.parts i { display: inline-block; width: 10px; height: 10px; margin-right: 5px; }
summary { cursor: pointer; }
"""
_EVIDENCE: Final = 8
_CALLED: Final = 3
_LEAST: Final = 0.005
"""A part of a ledger that would be shown as 0 %."""


def told(text: str) -> str:
    """Return untrusted text as HTML."""
    return escape(clean(text))


def head(report: Report) -> str:
    """Say what was watched, when, and how many requests that were."""
    session, totals = report.session, report.requests
    what = (f"pid {session.pid}", session.server or "", f"Python {session.python or '?'}", session.fidelity)
    started = moment(session.started_at, "%Y-%m-%d %H:%M:%S")
    when = f"{started} UTC, {duration(session.duration_s * 1e9)}, on {session.host.hostname}"
    counts = f"{totals.count} requests, {totals.errors} failed, {totals.slow_count} slow"
    latency = totals.latency_ms
    quantiles = "" if latency is None else f"; p50 {shown_ms(latency.p50)}, p95 {shown_ms(latency.p95)}"
    lines = (" · ".join(part for part in what if part), *also_watched(session), when, counts + quantiles)
    told_lines = "".join(f"<p class='quiet'>{told(line)}</p>" for line in lines)
    return f"<h1>{told(session.command)}</h1>{told_lines}"


def verdict(report: Report) -> str:
    """Say what is slow, why, and what to do."""
    one = report.verdict
    colour = PRINCIPLE_COLOUR[one.principle]
    cause = f"{one.principle}, {one.mechanism}; confidence {percent(one.confidence)}" if one.mechanism else ""
    lines = [f"<p><b style='color:{colour}'>{LETTERS[one.principle]}</b> <b>{told(one.summary)}</b></p>"]
    lines += [f"<p class='quiet'>{told(cause)}</p>"] if cause else []
    return (
        f"<h2>Verdict</h2><div class='verdict' style='border-color:{colour}'>{''.join((*lines, *_reasons(one)))}</div>"
    )


def endpoints(report: Report) -> str:
    """Return the table of endpoints; the ledger of each below its figures."""
    if not report.endpoints:
        return ""
    names = ("slow", "all", "p50", "p95")
    heads = "".join(f"<th class='number'>{name}</th>" for name in names)
    rows = "".join(map(_endpoint, report.endpoints))
    return (
        f"<h2>Endpoints</h2><table><tr><th></th><th>endpoint</th>{heads}<th>where a judged one's time goes</th></tr>"
        f"{rows}</table>"
    )


def opportunities(report: Report) -> str:
    """List what would make requests cheaper, and is not why they are slow."""
    if not report.opportunities:
        return ""
    rows = "".join(
        f"<tr><td class='number'>{told(one.kind)}</td><td>{told(one.text)}"
        f"<ul>{''.join(f'<li class=quiet>{told(advice)}</li>' for advice in one.advice)}</ul></td>"
        f"<td class='number'>{'' if one.saves_ms is None else told(shown_ms(one.saves_ms))}</td></tr>"
        for one in report.opportunities
    )
    heads = "<tr><th></th><th>cheaper, though not why it is slow</th><th class='number'>saves, each</th></tr>"
    return f"<h2>Opportunities</h2><table>{heads}{rows}</table>"


def scales(report: Report) -> str:
    """Say what more workers or cores would bring, where the session tells."""
    one = report.saturation.scalability
    if one is None:
        return ""
    return f"<h2>Scalability</h2>{''.join(f'<p>{told(line)}</p>' for line in scaling(one))}"


def _reasons(one: Judgement) -> Iterator[str]:
    if not is_told(one.chain):
        yield f"<div class='chain'>{chain(one.chain)}</div>"
    if others := also(one.causes, one.mechanism):
        yield f"<p>{'also' if one.mechanism else 'seen'} {told(others)}</p>"
    yield from (f"<p>{told(fact.text)}</p>" for fact in facts(one.evidence, _EVIDENCE))
    if one.advice:
        yield f"<ul>{''.join(f'<li>{told(advice)}</li>' for advice in one.advice)}</ul>"


def chain(links: Sequence[ChainLink]) -> str:
    """Return a chain of blame as a list in a list in a list."""
    inner = ""
    for link in reversed(links):
        inner = f"<ul><li>{told(link.text)}{inner}</li></ul>"
    return inner


def deadlocks(report: Report) -> str:
    """Name those that wait for each other."""
    if not report.deadlocks:
        return ""
    each = (
        f"<p><b>{told(one.summary)}</b></p><ul>{''.join(f'<li>{told(link.text)}</li>' for link in one.members)}</ul>"
        for one in report.deadlocks
    )
    return f"<h2>Deadlocks</h2>{''.join(each)}"


def _endpoint(one: EndpointReport) -> str:
    figures = (str(one.slow_count), str(one.count), shown_ms(one.latency_ms.p50), shown_ms(one.latency_ms.p95))
    numbers = "".join(f"<td class='number'>{told(figure)}</td>" for figure in figures)
    letter = f"<td style='color:{PRINCIPLE_COLOUR[one.principle]}'><b>{LETTERS[one.principle]}</b></td>"
    calls = (f"calls {asked}" for asked in in_each(one.downstream[:_CALLED]))
    lines = (one.summary, *gains(one.what_if, one.latency_ms), *calls)
    about = "".join(f"<p class='quiet'>{told(line)}</p>" for line in lines)
    ledgers = _ledger(one.ledger_ms, one.unaccounted_ms)
    if one.slow_count and one.normal_ledger_ms is not None:
        normal = _ledger(one.normal_ledger_ms, one.normal_unaccounted_ms or 0.0, beside=one)
        ledgers += f"<p class='quiet'>normal, over {one.normal_count}:</p>{normal}"
    name = f"<td><b>{told(f'{one.method} {told_route(one.route, one.service)}')}</b>{about}</td>"
    return f"<tr>{letter}{name}{numbers}<td>{ledgers}</td></tr>"


def _ledger(ledger_ms: Mapping[Bucket, float], unaccounted_ms: float, beside: EndpointReport | None = None) -> str:
    """Draw a ledger as one bar, and tell its parts below it, the largest first; `beside` gives the scale."""
    parts: list[tuple[str, str, str, float]] = [
        (bucket, COLOUR[bucket], MEANING[bucket], ms) for bucket, ms in ledger_ms.items() if ms > 0
    ]
    left = max(unaccounted_ms, 0.0)
    parts.append(("unaccounted", OPEN_COLOUR, "what no bucket explains", left))
    total = sum(ms for *_, ms in parts) or 1.0
    bar = "".join(f"<i style='background:{colour};width:{ms / total:.3%}'></i>" for _, colour, _, ms in parts)
    largest = sorted((part for part in parts if part[-1] / total >= _LEAST), key=lambda part: -part[-1])
    entries = "".join(
        f"<span title='{meaning}'><i style='background:{colour}'></i>{name} {shown_ms(ms)} {percent(ms / total)}</span>"
        for name, colour, meaning, ms in largest
    )
    whole = sum(beside.ledger_ms.values()) + beside.unaccounted_ms if beside else 0.0
    wide = f" style='width:{min(total / whole, 1.0):.3%};min-width:2px'" if whole > 0 else ""
    return f"<div class='ledger'{wide}>{bar}</div><div class='parts quiet'>{entries}</div>"
