"""Fills the report from what the correlator says: names and units, no figures of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent import report_contract as contract
from perfwatch.agent.model import BUCKETS, MAX_JUDGED, Bucket, Endpoint, OpenRequest, Request, Verdict, Wait

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from perfwatch.agent.model import SessionInfo, View

MAX_LISTED: Final = 10_000
_MAX_BLOCKERS: Final = 8
_BLOCKING: Final[frozenset[Bucket]] = frozenset({"gil", "lock", "other"})
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
    said = list(notes)
    if omitted:
        said.append(f"{omitted} judged requests are left out of the list, the oldest ones")
    if requests is None and len(view.requests) >= MAX_JUDGED:
        said.append(f"only the last {MAX_JUDGED} judged requests are listed")
    return contract.Report(
        schema=contract.SCHEMA,
        session=_session(info, view, records or {}),
        requests=_requests(view),
        verdict=_judgement(view.verdict),
        endpoints=[_endpoint(endpoint) for endpoint in view.endpoints],
        in_flight=[_open(info, request, view.now_ns) for request in view.in_flight],
        in_flight_count=view.in_flight_count,
        slow_requests=[_request(info, request) for request in listed],
        slow_requests_omitted=omitted,
        queues=_queues(info, view),
        saturation=_saturation(view),
        lost=view.lost,
        events=[contract.Event(at=info.unix_s(at_ns), text=text) for at_ns, text in view.events],
        notes=said,
    )


def _session(info: SessionInfo, view: View, records: Mapping[str, int]) -> contract.Session:
    lost = dict(view.losses)
    return contract.Session(
        pid=info.pid,
        python=info.python,
        command=_encodable(info.command),
        fidelity=info.fidelity,
        started_at=info.unix_s(info.started_ns),
        duration_s=max(view.now_ns - info.started_ns, 0) / 1e9,
        host=contract.Host(
            hostname=_encodable(info.hostname),
            kernel=info.kernel,
            machine=info.machine,
            cpus=info.cpus,
            memory_bytes=info.memory_bytes,
        ),
        probes=[
            contract.Probe(
                name=probe.name,
                status=probe.status,
                reason=probe.reason,
                records=records.get(probe.name),
                lost=lost.get(probe.name, 0),
            )
            for probe in info.probes
        ],
        server=info.server,
        listeners=list(info.listeners),
        perfwatch_version=info.perfwatch_version,
        target_gone=view.target_gone,
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


def _judgement(verdict: Verdict) -> contract.Judgement:
    return contract.Judgement(
        principle=verdict.principle,
        mechanism=verdict.mechanism,
        share=verdict.share,
        confidence=verdict.confidence,
        summary=verdict.summary,
        evidence=list(verdict.evidence),
        advice=list(verdict.advice),
        what_if_p95_ms=None,
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
        frames=[],
        evidence=list(verdict.evidence),
        advice=list(verdict.advice),
    )


def _open(info: SessionInfo, request: OpenRequest, now_ns: int) -> contract.OpenReport:
    arrived_ns = request.started_ns if request.arrived_ns is None else request.arrived_ns
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
        frames=[],
    )


def _request(info: SessionInfo, request: Request) -> contract.RequestReport:
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
        frames=[],
        blockers=_blockers(record.waits, ledger.total_ns),
    )


def _blockers(waits: Iterable[Wait], total_ns: int) -> list[contract.Blocker]:
    """Sum the waits for locks by the thread that ended them, the largest sum first."""
    spent: dict[tuple[Bucket, int, int, str, int | None], int] = {}
    for wait in waits:
        waker = wait.waker
        if waker is not None and wait.bucket in _BLOCKING:
            key = (wait.bucket, waker.pid, waker.tid, waker.name, waker.request)
            spent[key] = spent.get(key, 0) + wait.blocked_ns
    largest = sorted(spent.items(), key=lambda item: -item[1])[:_MAX_BLOCKERS]
    return [
        contract.Blocker(
            kind=kind,
            pid=pid,
            tid=tid,
            thread=thread,
            request=request,
            function=None,
            file=None,
            line=None,
            share=round(spent_ns / total_ns, 4) if total_ns > 0 else 0.0,
        )
        for (kind, pid, tid, thread, request), spent_ns in largest
    ]


def _queues(info: SessionInfo, view: View) -> contract.Queues:
    return contract.Queues(
        run_queue=contract.RunQueue(runnable_mean=view.runnable_mean, cpus=info.cpus),
        sockets=[
            contract.Socket(local=address, peer=None, recv_q=None, send_q=None, backlog=backlog, backlog_max=limit)
            for address, backlog, limit in view.listeners
        ],
        disks=[],
        threads=None,
    )


def _saturation(view: View) -> contract.Saturation:
    return contract.Saturation(cpu=view.cpu_use_mean, memory=view.memory_use, disk=None, network=None, psi=None)


def _ledger(booked_ns: Sequence[int]) -> dict[Bucket, float]:
    return dict(zip(BUCKETS, map(_ms, booked_ns), strict=True))


def _ms(duration_ns: int) -> float:
    """Return milliseconds, exact to the nanosecond."""
    return round(duration_ns / 1e6, 6)


def _encodable(text: str) -> str:
    """Replace lone surrogates, which names from the operating system may have and JSON cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")
