"""The calls of a text report: those of all requests by peer, those of the slowest one by one, and who kept their loop.

Operations and addresses are made harmless before they are set.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from perfwatch.agent.buckets import PART_GLYPH
from perfwatch.agent.call_bars import drawn, stretches
from perfwatch.agent.correlator.call_times import PARTS, alike
from perfwatch.agent.correlator.keepers import doing, name
from perfwatch.agent.correlator.routes import asked_for
from perfwatch.agent.correlator.wording import percent
from perfwatch.agent.report_cells import cells, clean, fit
from perfwatch.agent.report_layout import block, rule, shown_ms, time_of_day
from perfwatch.agent.report_sentences import counted, octets, took
from perfwatch.agent.report_slowest import slowest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.model import Downstream
    from perfwatch.agent.report_contract import PeerProcess, Report, RequestReport
    from perfwatch.agent.report_contract_calls import Call, Culprit

UNKNOWN: Final = "(operation not known)"
_REQUESTS: Final = 5
ROWS: Final = 8
_KINDS: Final = 12
_CULPRITS: Final = 3
_MANY: Final = 1000
_WIDE: Final = 96
_FIGURES: Final = 51


def downstream_section(report: Report, width: int) -> list[str]:
    """List what was asked of whom, how often, and how long that took."""
    shown = report.downstream[:_KINDS]
    if not shown:
        return []
    head = f"{'calls':>6}  {'/req':>5}  {'p50':>7}  {'p95':>7}  {'set-up':>6}  {'bytes':>7}"
    lines = [rule("downstream", width), " " * (width - _FIGURES) + f"  {head}"]
    processes = peer_processes(report.session.peers)
    for (peer, protocol), kinds in groupby(shown, key=lambda one: (one.peer, one.protocol)):
        listed = list(kinds)
        who = f"  {processes[peer]}" if peer in processes else ""
        lines.append(fit(clean(f"{peer}  {protocol}{who}{_about(listed)}"), width))
        lines += [_kind(one, width) for one in listed]
    left = len(report.downstream) - len(shown)
    return [*lines, *([f"   and {left} more"] if left else [])]


def called_section(report: Report, width: int) -> list[str]:
    """Draw the calls of the slowest requests, and say who kept their event loop."""
    told = slowest((one for one in report.slow_requests if one.calls or one.culprits), _REQUESTS)
    if not told:
        return []
    lines = [rule("the slowest requests: their calls, and who kept their loop", width)]
    lines += [line for one in told for line in _request(one, width)]
    used = ", ".join(f"{glyph} {part}" for part, glyph in PART_GLYPH.items())
    return [*lines, *(block("   ", used, width) if any(one.calls for one in told) else [])]


def peer_processes(peers: Iterable[PeerProcess]) -> dict[str, str]:
    """Name the processes of this host by their address: `postgres (pid 812)`; not where callers see different ones."""
    found: dict[str, set[str]] = {}
    for one in peers:
        found.setdefault(one.address, set()).add(f"{one.name} (pid {one.pid})")
    return {address: names.pop() for address, names in found.items() if len(names) == 1}


def asked(operation: str | None, kind: str, outcome: str = "answered") -> str:
    """Say what was asked; untrusted."""
    notes = [kind] if kind == "publish" else []
    notes += [outcome] if outcome == "failed" or (outcome, kind) == ("unanswered", "call") else []
    return f"{operation or UNKNOWN} ({', '.join(notes)})" if notes else operation or UNKNOWN


def in_each(downstream: Sequence[Downstream]) -> list[str]:
    """Say what one request asks, on average: `12 x 3.3 ms SELECT name FROM items WHERE id = ?`; untrusted."""
    return [
        f"{one.per_request:.3g} x {took(one.total_ms / max(one.count, 1))} {asked(one.operation, one.kind)}"
        for one in downstream
    ]


def kept_by(culprits: Sequence[Culprit]) -> str:
    """Say who kept a loop: `kept by GET /block 58 ms (time.sleep in slow() at app.py:12)`; untrusted."""
    told = ", ".join(map(_culprit, culprits[:_CULPRITS]))
    left = culprits[_CULPRITS:]
    more = f", and {counted(len(left), 'other')} {shown_ms(sum(one.held_ms for one in left))}" if left else ""
    return f"kept by {told}{more}" if told else ""


def times_each(calls: Sequence[Call]) -> str:
    """Say how long each of some calls took, where there are several."""
    return f"{took(sum(one.duration_ms for one in calls) / len(calls))} each" if len(calls) > 1 else ""


def _about(kinds: Iterable[Downstream]) -> str:
    listed = list(kinds)
    opened, failed = sum(one.connections for one in listed), sum(one.failed for one in listed)
    facts = [counted(opened, "new connection")] if opened else []
    facts += [f"{failed} failed"] if failed else []
    return f"  ({', '.join(facts)})" if facts else ""


def _kind(one: Downstream, width: int) -> str:
    figures = (
        f"{_count(one.count):>6}  {one.per_request:>5.3g}  {took(one.p50_ms):>7}  {took(one.p95_ms):>7}  "
        f"{percent(one.connect_share + one.tls_share):>6}  {octets(one.sent_bytes + one.received_bytes):>7}"
    )
    return fit(f"   {fit(clean(asked(one.operation, one.kind)), width - _FIGURES - 3)}  {figures}", width)


def _request(one: RequestReport, width: int) -> Iterator[str]:
    when = time_of_day(one.start)
    what = asked_for(one.method, one.target)
    yield fit(clean(f"{when}  #{one.id}  {what}  {shown_ms(one.duration_ms)}"), width)
    if one.culprits:
        yield from block(f"   loop  {shown_ms(one.ledger_ms['loop'])}, ", kept_by(one.culprits), width)
    folded = alike(one.calls)
    yield from (_folded(calls, one, width) for calls in folded[:ROWS])
    untold = one.call_count - sum(map(len, folded[:ROWS]))
    if untold > 0:
        yield fit(f"   and {counted(untold, 'more call')}", width)


def _folded(calls: Sequence[Call], request: RequestReport, width: int) -> str:
    """Draw calls of one kind: `12x SELECT * FROM t WHERE id = ?   7.4 ms  0.6 ms each  ··░░`."""
    first, axis = calls[0], 20 if width >= _WIDE else 12
    room = width - axis - 36
    what = clean(asked(first.operation, first.kind, first.outcome))
    if len({one.peer for one in request.calls}) > 1:
        peer = clean(first.peer)
        what = fit(what, max(room - cells(peer) - 2, room // 2)).rstrip() + f"  {peer}"
    count = f"{len(calls)}x" if len(calls) > 1 else ""
    total = took(sum(one.duration_ms for one in calls))
    figures = f"{total:>7}  {times_each(calls):>12}  {_axis(calls, request, axis)}"
    return fit(f"   {count:>4} {fit(what, room)}  {figures}", width)


def _axis(calls: Iterable[Call], request: RequestReport, width: int) -> str:
    found = (
        stretch
        for one in calls
        for stretch in stretches(
            one.offset_ms, (one.connect_ms, one.tls_ms, one.send_ms, one.wait_ms, one.transfer_ms), PARTS
        )
    )
    return "".join("·" if part is None else PART_GLYPH[part] for part in drawn(found, request.duration_ms, width))


def _culprit(one: Culprit) -> str:
    who = f"{name(one.method, one.target, one.request)} {shown_ms(one.held_ms)}"
    return who if one.function is None else f"{who} ({doing(one.function, one.file or '', one.line or 0, one.called)})"


def _count(number: int) -> str:
    return str(number) if number < 100 * _MANY else f"{number // _MANY}k"
