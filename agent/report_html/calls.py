"""What was asked of other processes: the calls of one request on its time axis, and those of all by peer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.call_bars import stretches
from perfwatch.agent.correlator.call_times import PARTS, alike
from perfwatch.agent.correlator.wording import percent
from perfwatch.agent.report_calls import ROWS, asked, peer_processes, times_each
from perfwatch.agent.report_html.bars import axis, key
from perfwatch.agent.report_html.markup import Html, element, joined, listed, section, table
from perfwatch.agent.report_sentences import counted, octets, took

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.model import Downstream
    from perfwatch.agent.report_contract import Report, RequestReport
    from perfwatch.agent.report_contract_calls import Call

_HEADS: Final = (
    "peer",
    "asked",
    "calls",
    "a request",
    "p50",
    "p95",
    "connecting",
    "TLS",
    "transfer",
    "failed",
    "sent",
    "received",
)
_DRAWN: Final = 60
"""So many calls of one kind."""


def downstream(report: Report) -> Html:
    """Return the table of what was asked of whom."""
    processes = peer_processes(report.session.peers)
    rows = (_kind(one, processes.get(one.peer)) for one in report.downstream)
    numbers = frozenset(range(2, len(_HEADS)))
    return section("calls", "Calls to other processes", table(_HEADS, rows, numbers))


def called(request: RequestReport) -> Html:
    """Return the calls of a request, those that ask the same as one row."""
    folded = alike(request.calls)
    if not folded:
        return Html()
    rows = (_folded(calls, request) for calls in folded[:ROWS])
    untold = request.call_count - sum(map(len, folded[:ROWS]))
    more = element("p", f"and {counted(untold, 'more call')}", class_="quiet") if untold > 0 else Html()
    legend = listed((element("span", key(f"part-{part}"), part) for part in PARTS), "legend")
    heads = ("asked", "of", "took", "each", "when")
    return joined((table(heads, rows, frozenset({2, 3})), more, legend))


def _kind(one: Downstream, process: str | None) -> Iterator[str | Html]:
    who = f"{one.protocol}, {process}" if process else one.protocol
    yield joined((one.peer, element("p", who, class_="quiet")))
    yield asked(one.operation, one.kind)
    yield str(one.count)
    yield f"{one.per_request:.3g}"
    yield took(one.p50_ms)
    yield took(one.p95_ms)
    yield from map(percent, (one.connect_share, one.tls_share, one.transfer_share))
    yield str(one.failed)
    yield octets(one.sent_bytes)
    yield octets(one.received_bytes)


def _folded(calls: Sequence[Call], request: RequestReport) -> tuple[str | Html, ...]:
    first = calls[0]
    count = f"{len(calls)} x " if len(calls) > 1 else ""
    total = took(sum(one.duration_ms for one in calls))
    drawn = (
        (f"part-{part}", since, until, f"{part} {took(until - since)}")
        for one in calls[:_DRAWN]
        for part, since, until in stretches(
            one.offset_ms, (one.connect_ms, one.tls_ms, one.send_ms, one.wait_ms, one.transfer_ms), PARTS
        )
    )
    what = f"{count}{asked(first.operation, first.kind, first.outcome)}"
    return (
        what,
        f"{first.peer} {first.protocol}",
        total,
        times_each(calls),
        axis(drawn, request.duration_ms, f"{what} {total}"),
    )
