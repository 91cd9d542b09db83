"""Requests as the messages that an OTLP receiver takes: spans by service, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from perfwatch.agent.export.otlp.client_spans import client_spans
from perfwatch.agent.export.otlp.ids import Ids
from perfwatch.agent.export.otlp.resource import SCHEMA_URL, resource, scope
from perfwatch.agent.export.otlp.server_spans import server_span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from perfwatch.agent.export.schemes import Schemes
    from perfwatch.agent.model import Request, SessionInfo

BATCH: Final = 512
"""Spans of a message, and the calls of one request more: some 0.7 MB."""


class Spans:
    """Makes spans of requests, and messages of spans."""

    def __init__(self, info: SessionInfo, schemes: Schemes, service_name: str | None = None) -> None:
        self._info = info
        self._ids = Ids(info)
        self._schemes = schemes
        self._service_name = service_name

    def of(self, request: Request) -> list[Span]:
        """Return the span of a request, and one for each of its calls."""
        scheme = self._schemes.of(request.record)
        return [
            server_span(self._info, self._ids, request, scheme),
            *client_spans(self._info, self._ids, request),
        ]

    def messages(self, requests: Iterable[Request]) -> Iterator[ExportTraceServiceRequest]:
        """Yield messages of at least `BATCH` spans each, and the rest."""
        waiting: dict[int | None, list[Span]] = {}
        count = 0
        for request in requests:
            spans = self.of(request)
            waiting.setdefault(request.service, []).extend(spans)
            count += len(spans)
            if count >= BATCH:
                yield self._message(waiting)
                waiting, count = {}, 0
        if count:
            yield self._message(waiting)

    def _message(self, spans: dict[int | None, list[Span]]) -> ExportTraceServiceRequest:
        return ExportTraceServiceRequest(
            resource_spans=[
                ResourceSpans(
                    resource=resource(self._info, service, self._service_name),
                    scope_spans=[ScopeSpans(scope=scope(self._info), spans=found, schema_url=SCHEMA_URL)],
                    schema_url=SCHEMA_URL,
                )
                for service, found in spans.items()
            ]
        )


def count_of(message: ExportTraceServiceRequest) -> int:
    """Count the spans of a message."""
    return sum(len(scoped.spans) for one in message.resource_spans for scoped in one.scope_spans)
