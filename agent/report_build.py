"""Fills the report from what the correlator says: names and units, no figures of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent import report_contract as contract
from perfwatch.agent.model import (
    BUCKETS,
    MAX_JUDGED,
    Bucket,
    Callee,
    Endpoint,
    OpenRequest,
    Opportunity,
    Request,
    Verdict,
    arrival_of,
)
from perfwatch.agent.report_build_calls import build_calls, build_culprits
from perfwatch.agent.report_build_chains import build_chain, build_deadlocks
from perfwatch.agent.report_build_code import build_blockers, build_frames, build_open_frames
from perfwatch.agent.report_build_memory import build_memory
from perfwatch.agent.report_build_queues import build_cost, build_queues, build_saturation, build_slowed, encodable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from perfwatch.agent.model import SessionInfo, View

MAX_LISTED: Final = 10_000
_UNJUDGED: Final = Verdict("unknown", None, 0.0, 0.0, "not judged")


def build(
    info: SessionInfo,
    view: View,
    requests: Iterable[Request] | None = None,
    *,
    records: Mapping[str, int] | None = None,
    notes: Sequence[str] = (),
) -> contract.Report:
    """Make a report of a view.

    `requests` are all judged ones (of several with one id the last stands); without them the view's are
    taken, at most `MAX_JUDGED`. `records` counts the records of each probe; `notes` are lines on the recording itself.
    """
    latest = {request.record.id: request for request in (view.requests if requests is None else requests)}
    listed = list(latest.values())[-MAX_LISTED:]
    omitted = len(latest) - len(listed)
    callers = {callee.request: request.record.id for request in listed for callee in request.callees}
    said = list(notes)
    if omitted:
        said.append(f"{omitted} judged requests are left out of the list, the oldest ones")
    if requests is None and len(view.requests) >= MAX_JUDGED:
        said.append(f"only the last {MAX_JUDGED} judged requests are listed")
    return contract.Report(
        schema=contract.SCHEMA,
        session=_session(info, view, records or {}),
        requests=_requests(view),
        verdict=_judgement(view),
        endpoints=[_endpoint(endpoint) for endpoint in view.endpoints],
        in_flight=[_open(info, request, view.now_ns) for request in view.in_flight],
        in_flight_count=view.in_flight_count,
        slow_requests=[_request(info, request, latest, callers.get(request.record.id)) for request in listed],
        slow_requests_omitted=omitted,
        queues=build_queues(info, view),
        saturation=build_saturation(view),
        lost=view.lost,
        events=[contract.Event(at=info.unix_s(at_ns), text=text) for at_ns, text in view.events],
        notes=said,
        downstream=list(view.downstream),
        opportunities=[_opportunity(one) for one in view.opportunities],
        deadlocks=build_deadlocks(info, view.deadlocks),
        memory=build_memory(info, view),
    )


def _session(info: SessionInfo, view: View, records: Mapping[str, int]) -> contract.Session:
    lost = dict(view.losses)
    return contract.Session(
        pid=info.pid,
        python=info.python,
        command=encodable(info.command),
        fidelity=info.fidelity,
        started_at=info.unix_s(info.started_ns),
        duration_s=max(view.now_ns - info.started_ns, 0) / 1e9,
        host=contract.Host(
            hostname=encodable(info.hostname),
            kernel=info.kernel,
            machine=info.machine,
            cpus=info.cpus,
            memory_bytes=info.memory_bytes,
        ),
        probes=[
            contract.Probe(
                name=encodable(probe.name),
                status=probe.status,
                reason=encodable(probe.reason),
                records=records.get(probe.name),
                lost=lost.get(probe.name, 0),
                missing=encodable(probe.lost),
                remedy=encodable(probe.remedy),
                period_s=probe.period_s,
            )
            for probe in info.probes
        ],
        server=info.server,
        listeners=list(info.listeners),
        perfwatch_version=info.perfwatch_version,
        target_gone=view.target_gone,
        cost=build_cost(view.own_cost),
        slowed=build_slowed(view.slowed_probes),
        peers=[
            contract.PeerProcess(one.seen_by, encodable(one.address), one.pid, encodable(one.name), one.is_target)
            for one in view.peers
        ],
        targets=[
            contract.Target(
                pid=one.pid,
                python=one.python,
                command=encodable(one.command),
                server=one.server,
                container=one.container,
            )
            for one in info.targets
        ],
        container=info.container,
    )


def _requests(view: View) -> contract.Requests:
    return contract.Requests(
        count=view.count,
        slow_count=view.slow_count,
        slow_threshold_ms=view.slow_threshold_ms,
        throughput_rps=view.throughput_rps,
        concurrency=view.concurrency,
        errors=view.errors,
        latency_ms=view.latency_ms,
    )


def _judgement(view: View) -> contract.Judgement:
    verdict = view.verdict
    # That of the costliest endpoint, unless something hangs or nothing is slow.
    what_if = view.endpoints[0].what_if if view.endpoints and view.endpoints[0].verdict == verdict else ()
    return contract.Judgement(
        principle=verdict.principle,
        mechanism=verdict.mechanism,
        share=verdict.share,
        confidence=verdict.confidence,
        summary=verdict.summary,
        evidence=list(verdict.evidence),
        advice=list(verdict.advice),
        what_if_p95_ms=next((one.p95_ms for one in what_if if one.mechanism == verdict.mechanism), None),
        causes=verdict.causes,
        chain=build_chain(verdict.chain),
    )


def _endpoint(endpoint: Endpoint) -> contract.EndpointReport:
    verdict = endpoint.verdict
    return contract.EndpointReport(
        method=endpoint.method,
        route=endpoint.route,
        count=endpoint.count,
        slow_count=endpoint.slow_count,
        judged_count=endpoint.judged_count,
        errors=endpoint.errors,
        latency_ms=endpoint.latency_ms,
        principle=verdict.principle,
        mechanism=verdict.mechanism,
        share=verdict.share,
        confidence=verdict.confidence,
        summary=verdict.summary,
        ledger_ms=_ledger(endpoint.ledger.booked_ns),
        unaccounted_ms=_ms(endpoint.ledger.unaccounted_ns),
        frames=build_frames(endpoint.frames),
        evidence=list(verdict.evidence),
        advice=list(verdict.advice),
        downstream=list(endpoint.downstream),
        service=endpoint.service,
        normal_count=endpoint.normal_count,
        normal_ledger_ms=None if endpoint.normal is None else _ledger(endpoint.normal.booked_ns),
        normal_unaccounted_ms=None if endpoint.normal is None else _ms(endpoint.normal.unaccounted_ns),
        what_if=endpoint.what_if,
        causes=verdict.causes,
        chain=build_chain(verdict.chain),
    )


def _opportunity(one: Opportunity) -> contract.OpportunityReport:
    return contract.OpportunityReport(
        kind=one.kind,
        method=one.endpoint[0],
        route=one.endpoint[1],
        text=one.text,
        saves_ms=one.saves_ms,
        count=one.count,
        evidence=list(one.evidence),
        advice=list(one.advice),
    )


def _open(info: SessionInfo, request: OpenRequest, now_ns: int) -> contract.OpenReport:
    arrived_ns = arrival_of(request)
    return contract.OpenReport(
        start=info.unix_s(arrived_ns),
        age_ms=_ms(max(now_ns - arrived_ns, 0)),
        method=request.method,
        target=request.target,
        pid=request.pid,
        tid=request.tid,
        state=request.state,
        call=request.call,
        peer=request.peer,
        ledger_ms=_ledger(request.booked_ns),
        frames=build_open_frames(request, max(now_ns - arrived_ns, 0), now_ns),
        throttled_ms=_ms(request.throttled_ns),
        threads=request.threads,
    )


def _request(
    info: SessionInfo, request: Request, judged: Mapping[int, Request], caller: int | None
) -> contract.RequestReport:
    record, ledger, verdict = request.record, request.ledger, request.verdict or _UNJUDGED
    return contract.RequestReport(
        id=record.id,
        start=info.unix_s(record.ended_ns - ledger.total_ns),
        duration_ms=_ms(ledger.total_ns),
        slow=request.slow,
        method=record.method,
        target=record.target,
        route=request.route,
        status=record.status,
        outcome=record.outcome,
        pid=record.pid,
        tid=record.tid,
        ledger_ms=_ledger(ledger.booked_ns),
        unaccounted_ms=_ms(ledger.unaccounted_ns),
        principle=verdict.principle,
        mechanism=verdict.mechanism,
        share=verdict.share,
        confidence=verdict.confidence,
        summary=verdict.summary,
        evidence=list(verdict.evidence),
        frames=build_frames(request.frames),
        blockers=build_blockers(record, ledger.total_ns),
        throttled_ms=_ms(record.throttled_ns),
        fidelity=record.fidelity,
        threads=record.threads,
        calls=build_calls(request),
        call_count=len(record.calls) + record.calls_lost,
        culprits=build_culprits(request, judged),
        service=request.service,
        callees=tuple(map(_callee, request.callees)),
        caller=caller,
        causes=verdict.causes,
        chain=build_chain(verdict.chain),
        protocol=record.protocol,
        grpc_status=record.grpc_status,
    )


def _callee(callee: Callee) -> contract.CalleeReport:
    verdict = callee.verdict
    return contract.CalleeReport(
        call=callee.call,
        request=callee.request,
        pid=callee.pid,
        process=encodable(callee.process),
        method=callee.method,
        route=callee.route,
        duration_ms=_ms(callee.ledger.total_ns),
        ledger_ms=_ledger(callee.ledger.booked_ns),
        unaccounted_ms=_ms(callee.ledger.unaccounted_ns),
        principle=verdict.principle,
        mechanism=verdict.mechanism,
        share=verdict.share,
        confidence=verdict.confidence,
        summary=verdict.summary,
    )


def _ledger(booked_ns: Sequence[int]) -> dict[Bucket, float]:
    return dict(zip(BUCKETS, map(_ms, booked_ns), strict=True))


def _ms(duration_ns: int) -> float:
    """Return milliseconds, exact to the nanosecond."""
    return round(duration_ns / 1e6, 6)
