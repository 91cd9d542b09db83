"""The calls that a request made of other processes, as child spans: by what is spoken, without any literal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from perfwatch.agent.correlator.call_times import spent, unread_ns
from perfwatch.agent.export.otlp import places
from perfwatch.agent.export.otlp.values import attributes, unix_ns
from perfwatch.probes.records import CONNECTION_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.export.otlp.ids import Ids
    from perfwatch.agent.export.otlp.values import Value
    from perfwatch.agent.model import Call, Request, SessionInfo

_DATABASES: Final = frozenset({"postgresql", "mysql", "redis", "mongodb", "memcached"})
_QUEUES: Final = {"kafka": "kafka", "amqp": "rabbitmq", "nats": "nats"}
_HTTP: Final = frozenset({"http/1", "http/2"})


def client_spans(info: SessionInfo, ids: Ids, request: Request) -> Iterator[Span]:
    """Yield a span for each call, with a link to what it was in another service that was watched."""
    callees = {callee.call: callee.request for callee in request.callees}
    number = request.record.id
    for at, call in enumerate(request.record.calls):
        yield Span(
            trace_id=ids.trace(number),
            span_id=ids.span(number, at),
            parent_span_id=ids.span(number),
            name=_name(call),
            kind=Span.SPAN_KIND_PRODUCER if call.kind == "publish" else Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=unix_ns(info, call.started_ns),
            end_time_unix_nano=unix_ns(info, max(call.ended_ns, call.started_ns)),
            attributes=attributes(
                {**_asked(call), **places.server(call.peer), **places.peer(call.peer), **_spent(call)}
            ),
            status=Status(code=Status.STATUS_CODE_ERROR) if call.outcome == "failed" else None,
            links=[_link(ids, callees[at])] if at in callees else [],
        )


def _link(ids: Ids, request: int) -> Span.Link:
    return Span.Link(trace_id=ids.trace(request), span_id=ids.span(request))


def _operation(call: Call) -> str | None:
    """Return what was asked; None where it is not known, or it only connected."""
    operation = (call.operation or "").strip()
    return operation if operation and operation != CONNECTION_ONLY else None


def _verb(operation: str) -> str:
    return operation.split(None, 1)[0]


def _name(call: Call) -> str:
    """Name a call as the conventions do: what is done, and to whom; of HTTP the method and the template."""
    operation = _operation(call)
    if operation is None:
        return f"{call.protocol} {call.peer}" if call.sent_ns is not None else f"connect {call.peer}"
    if call.protocol in _DATABASES:
        return f"{_verb(operation)} {call.peer}"
    return operation


def _asked(call: Call) -> dict[str, Value | None]:
    operation = _operation(call)
    found: dict[str, Value | None] = {"error.type": "failed" if call.outcome == "failed" else None}
    if call.protocol in _DATABASES:
        found |= _database(call.protocol, operation)
    elif call.protocol in _QUEUES:
        found |= _queue(call, operation)
    elif call.protocol in _HTTP:
        found |= _http(call.protocol, operation)
    elif call.protocol == "grpc":
        found |= {"rpc.system": "grpc", "rpc.method": operation}
    elif call.protocol == "dns":
        found |= {"dns.question.name": operation.partition(" ")[2] if operation else None}
    return found


def _database(protocol: str, operation: str | None) -> dict[str, Value | None]:
    return {
        "db.system.name": protocol,
        "db.operation.name": _verb(operation) if operation else None,
        "db.query.text": operation,
    }


def _queue(call: Call, operation: str | None) -> dict[str, Value | None]:
    return {
        "messaging.system": _QUEUES[call.protocol],
        "messaging.operation.name": operation,
        "messaging.operation.type": "send" if call.kind == "publish" else None,
    }


def _http(protocol: str, operation: str | None) -> dict[str, Value | None]:
    method, _, template = (operation or "").partition(" ")
    return {
        "http.request.method": method or None,
        "url.template": template or None,
        "network.protocol.name": "http",
        "network.protocol.version": "2" if protocol == "http/2" else None,
    }


def _spent(call: Call) -> dict[str, Value | None]:
    times = spent(call)
    return {
        **{f"perfwatch.call.{part}_ms": getattr(times, part) / 1e6 for part in times._fields},
        "perfwatch.call.unread_ms": unread_ns(call) / 1e6,
        "perfwatch.call.outcome": call.outcome,
        "perfwatch.call.conflict": call.conflict or None,
        "perfwatch.protocol": call.protocol,
        "perfwatch.received_bytes": call.received_bytes,
        "perfwatch.sent_bytes": call.sent_bytes,
        "thread.id": call.tid,
    }
