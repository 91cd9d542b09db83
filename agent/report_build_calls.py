"""Fills what a report says of a request's calls, and of those that kept its event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent import report_contract_calls as contract
from perfwatch.agent.correlator.call_times import is_new_connection, spent, unread_ns
from perfwatch.agent.correlator.keepers import keepers
from perfwatch.agent.correlator.places import telling
from perfwatch.agent.report_build_queues import encodable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perfwatch.agent.correlator.keepers import Keeper
    from perfwatch.agent.model import Call, Request


def build_calls(request: Request) -> list[contract.Call]:
    """Say what a request asked of other processes, one by one."""
    arrived_ns = request.record.ended_ns - request.ledger.total_ns
    return [_call(request, one, arrived_ns) for one in request.record.calls]


def build_culprits(request: Request, judged: Mapping[int, Request]) -> list[contract.Culprit]:
    """Say who kept the loop of a request; `judged` are those whose code may be known, by id."""
    total_ns = request.ledger.total_ns
    return [_culprit(one, total_ns) for one in keepers(request.record, judged.get)]


def _call(request: Request, call: Call, arrived_ns: int) -> contract.Call:
    times = spent(call)
    place = telling(request.record.code.stack(call.stack))
    return contract.Call(
        peer=encodable(call.peer),
        protocol=call.protocol,
        operation=encodable(call.operation),
        kind=call.kind,
        outcome=call.outcome,
        offset_ms=_ms(call.started_ns - arrived_ns),
        duration_ms=_ms(times.total),
        connect_ms=_ms(times.connect),
        tls_ms=_ms(times.tls),
        send_ms=_ms(times.send),
        wait_ms=_ms(times.wait),
        transfer_ms=_ms(times.transfer),
        unread_ms=_ms(unread_ns(call)),
        new_connection=is_new_connection(call),
        sent_bytes=call.sent_bytes,
        received_bytes=call.received_bytes,
        pid=request.record.pid,
        tid=call.tid,
        local=encodable(call.local),
        function=None if place is None else encodable(place.function),
        file=None if place is None else encodable(place.file),
        line=None if place is None else place.line,
    )


def _culprit(keeper: Keeper, total_ns: int) -> contract.Culprit:
    one, place = keeper
    return contract.Culprit(
        request=one.request,
        method=encodable(one.method),
        target=encodable(one.target),
        held_ms=_ms(one.held_ns),
        share=round(one.held_ns / total_ns, 4) if total_ns > 0 else 0.0,
        pid=one.pid,
        tid=one.tid,
        function=None if place is None else encodable(place.function),
        file=None if place is None else encodable(place.file),
        line=None if place is None else place.line,
        called=None if place is None else encodable(place.called),
    )


def _ms(duration_ns: int) -> float:
    return round(duration_ns / 1e6, 6)
