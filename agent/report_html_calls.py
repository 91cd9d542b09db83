"""The parts of an HTML report that tell of calls: what was asked of whom, and those of the slowest requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.buckets import COLOUR, PART_COLOUR, PART_MEANING
from perfwatch.agent.call_bars import stretches
from perfwatch.agent.correlator.call_times import PARTS, alike
from perfwatch.agent.correlator.wording import percent
from perfwatch.agent.report_calls import ROWS, asked, kept_by, peer_processes, slowest_calling, times_each
from perfwatch.agent.report_html_parts import told
from perfwatch.agent.report_layout import moment, shown_ms
from perfwatch.agent.report_sentences import counted, octets, took

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.model import Downstream
    from perfwatch.agent.report_contract import Report, RequestReport
    from perfwatch.agent.report_contract_calls import Call

STYLE: Final = """
.axis { position: relative; height: 12px; min-width: 260px; background: #1b1f22; }
.axis i { position: absolute; top: 0; height: 100%; min-width: 1px; }
"""
_HEADS: Final = ("calls", "a request", "p50", "p95", "connecting", "TLS", "transfer", "failed", "sent", "received")


def downstream(report: Report) -> str:
    """Return the table of what was asked of whom."""
    if not report.downstream:
        return ""
    heads = "".join(f"<th class='number'>{head}</th>" for head in _HEADS)
    processes = peer_processes(report.session.peers)
    rows = "".join(_kind(one, processes.get(one.peer)) for one in report.downstream)
    return f"<h2>Downstream</h2><table><tr><th>peer</th><th>operation</th>{heads}</tr>{rows}</table>"


def called(report: Report) -> str:
    """Return the calls of the slowest requests on their time axes, and who kept their event loop."""
    slowest = slowest_calling(report)
    if not slowest:
        return ""
    legend = "".join(
        f"<span title='{PART_MEANING[part]}'><i style='background:{PART_COLOUR[part]}'></i>{part}</span>"
        for part in PARTS
    )
    rows = "".join(row for one in slowest for row in _request(one))
    return (
        "<h2>The slowest requests: their calls, and who kept their loop</h2>"
        f"<table>{rows}</table><div class='parts quiet'>{legend}</div>"
    )


def _kind(one: Downstream, process: str | None) -> str:
    figures = (
        str(one.count),
        f"{one.per_request:.3g}",
        took(one.p50_ms),
        took(one.p95_ms),
        percent(one.connect_share),
        percent(one.tls_share),
        percent(one.transfer_share),
        str(one.failed),
        octets(one.sent_bytes),
        octets(one.received_bytes),
    )
    numbers = "".join(f"<td class='number'>{told(figure)}</td>" for figure in figures)
    who = f"{one.protocol}, {process}" if process else one.protocol
    peer = f"{told(one.peer)}<p class='quiet'>{told(who)}</p>"
    return f"<tr><td>{peer}</td><td>{told(asked(one.operation, one.kind))}</td>{numbers}</tr>"


def _request(one: RequestReport) -> Iterator[str]:
    what = f"{one.method or '?'} {one.target or '(path not seen)'}  {shown_ms(one.duration_ms)}"
    when = moment(one.start, "%H:%M:%S.%f")[:12]
    yield f"<tr><td colspan='4'><b>{told(what)}</b> <span class='quiet'>{told(f'{when} #{one.id}')}</span></td></tr>"
    if one.culprits:
        loop = f"loop {shown_ms(one.ledger_ms['loop'])}, {kept_by(one.culprits)}"
        yield f"<tr><td colspan='4' style='color:{COLOUR['loop']}'>{told(loop)}</td></tr>"
    folded = alike(one.calls)
    yield from (_folded(calls, one) for calls in folded[:ROWS])
    untold = one.call_count - sum(map(len, folded[:ROWS]))
    if untold > 0:
        yield f"<tr><td colspan='4' class='quiet'>and {counted(untold, 'more call')}</td></tr>"


def _folded(calls: Sequence[Call], request: RequestReport) -> str:
    first = calls[0]
    count = f"{len(calls)}x " if len(calls) > 1 else ""
    what = told(f"{count}{asked(first.operation, first.kind, first.outcome)}")
    peer = told(f"{first.peer} {first.protocol}")
    total = took(sum(one.duration_ms for one in calls))
    return (
        f"<tr><td>{what}<p class='quiet'>{peer}</p></td><td class='number'>{told(total)}</td>"
        f"<td class='number'>{told(times_each(calls))}</td><td>{_axis(calls, request.duration_ms)}</td></tr>"
    )


def _axis(calls: Iterable[Call], length_ms: float) -> str:
    """Draw calls where they lie in the time of their request."""
    bars = "".join(
        f"<i title='{part} {took(until - since)}' style='background:{PART_COLOUR[part]};"
        f"left:{since / length_ms:.3%};width:{(until - since) / length_ms:.3%}'></i>"
        for one in calls
        for part, start, end in stretches(
            one.offset_ms, (one.connect_ms, one.tls_ms, one.send_ms, one.wait_ms, one.transfer_ms), PARTS
        )
        if (since := max(start, 0.0)) < (until := min(end, length_ms))
    )
    return f"<div class='axis'>{bars}</div>"
