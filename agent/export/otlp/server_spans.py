"""A request as a span: HTTP by the stable semantic conventions, and beside it what only perfwatch knows.

The ledger is `perfwatch.ledger.BUCKET_ms`, one for each bucket, which add up to the span's length; the verdict, of a
request that was judged, is `perfwatch.verdict.*`, and `code.*` the place in the code that it points to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from perfwatch.agent.export.conventions import OTHER_METHOD, error_of, method_of, route_of, version_of
from perfwatch.agent.export.otlp import places
from perfwatch.agent.export.otlp.values import attributes, unix_ns
from perfwatch.agent.model import BUCKETS, arrival_of

if TYPE_CHECKING:
    from perfwatch.agent.export.otlp.ids import Ids
    from perfwatch.agent.export.otlp.values import Value
    from perfwatch.agent.model import Request, ServedRequest, SessionInfo, Verdict

_MOST_EVIDENCE: Final = 16


def server_span(info: SessionInfo, ids: Ids, request: Request, scheme: str | None) -> Span:
    """Return the span of one request, from its first byte to its last; `scheme` where it is known."""
    record = request.record
    return Span(
        trace_id=ids.trace(record.id),
        span_id=ids.span(record.id),
        name=_name(request),
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=unix_ns(info, arrival_of(record)),
        end_time_unix_nano=unix_ns(info, max(record.ended_ns, arrival_of(record))),
        attributes=attributes(
            {
                **_http(request, scheme),
                **_connection(record),
                **_measured(request),
                **_concluded(request.verdict),
                **_place(request),
            }
        ),
        status=_status(request),
    )


def _name(request: Request) -> str:
    method, route = method_of(request.record), route_of(request)
    shown = "HTTP" if method == OTHER_METHOD else method
    return f"{shown} {route}" if route else shown


def _http(request: Request, scheme: str | None) -> dict[str, Value | None]:
    record, method = request.record, method_of(request.record)
    return {
        "http.request.method": method,
        "http.request.method_original": record.method if method == OTHER_METHOD else None,
        "http.route": route_of(request),
        "http.response.status_code": record.status,
        "url.path": record.target,
        "url.scheme": scheme,
        "network.protocol.name": "http",
        "network.protocol.version": version_of(record),
        "rpc.system": "grpc" if record.protocol == "grpc" else None,
        "rpc.grpc.status_code": record.grpc_status,
        "error.type": error_of(request),
    }


def _connection(record: ServedRequest) -> dict[str, Value | None]:
    peer = places.peer(record.remote)
    return {
        **places.server(record.local),
        **peer,
        "client.address": peer.get("network.peer.address"),
        "client.port": peer.get("network.peer.port"),
        "process.pid": record.pid,
        "thread.id": record.tid,
    }


def _measured(request: Request) -> dict[str, Value | None]:
    record, ledger = request.record, request.ledger
    return {
        **{f"perfwatch.ledger.{bucket}_ms": ledger[bucket] / 1e6 for bucket in BUCKETS},
        "perfwatch.ledger.unaccounted_ms": ledger.unaccounted_ns / 1e6,
        "perfwatch.gc_ms": record.gc_ns / 1e6,
        "perfwatch.throttled_ms": record.throttled_ns / 1e6,
        "perfwatch.received_bytes": record.received_bytes,
        "perfwatch.sent_bytes": record.sent_bytes,
        "perfwatch.request_id": record.id,
        "perfwatch.fidelity": record.fidelity,
        "perfwatch.slow": request.slow,
    }


def _concluded(verdict: Verdict | None) -> dict[str, Value | None]:
    if verdict is None:
        return {}
    return {
        "perfwatch.verdict.principle": verdict.principle,
        "perfwatch.verdict.mechanism": verdict.mechanism,
        "perfwatch.verdict.share": verdict.share,
        "perfwatch.verdict.confidence": verdict.confidence,
        "perfwatch.verdict.summary": verdict.summary,
        "perfwatch.verdict.evidence": tuple(one.text for one in verdict.evidence[:_MOST_EVIDENCE]) or None,
        "perfwatch.verdict.advice": verdict.advice or None,
    }


def _place(request: Request) -> dict[str, Value | None]:
    if not request.frames:
        return {}
    frame = request.frames[0]
    return {
        "code.function.name": frame.function,
        "code.file.path": frame.file or None,
        "code.line.number": frame.line or None,
    }


def _status(request: Request) -> Status | None:
    return Status(code=Status.STATUS_CODE_ERROR) if error_of(request) is not None else None
