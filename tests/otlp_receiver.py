"""An OTLP receiver made of opentelemetry-proto: a real HTTP server, which parses what it is sent and may refuse."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

KINDS = {
    "/v1/traces": (ExportTraceServiceRequest, ExportTraceServiceResponse),
    "/v1/metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse),
}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        to = self.server.to
        body = self.rfile.read(int(self.headers["Content-Length"]))
        to.headers.append(dict(self.headers))
        refusal = to.refusals.popleft() if to.refusals else None
        if refusal is not None:
            self._answer(*refusal)
        elif self.path not in KINDS:
            self._answer(404)
        else:
            assert self.headers["Content-Type"] == "application/x-protobuf"
            assert self.headers["Content-Encoding"] == "gzip"
            request, response = KINDS[self.path]
            to.take(request.FromString(gzip.decompress(body)))
            self._answer(200, {"Content-Type": "application/x-protobuf"}, to.partial or response().SerializeToString())

    def _answer(self, status, headers=(), body=b""):
        self.send_response(status)
        for name, value in dict(headers, **{"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Receiver:
    """What was received so far; `refusals` are answered first, each (status, headers, body)."""

    def __init__(self):
        self.refusals, self.headers, self.messages = deque(), [], []
        self.partial = b""
        self._news = threading.Condition()

    def take(self, message):
        with self._news:
            self.messages.append(message)
            self._news.notify_all()

    def wait_for(self, is_there, timeout_s=60):
        """Wait until what was received is enough."""
        with self._news:
            assert self._news.wait_for(lambda: is_there(self), timeout_s), self.messages

    @property
    def resource_spans(self):
        traces = [one for one in self.messages if isinstance(one, ExportTraceServiceRequest)]
        return [spans for one in traces for spans in one.resource_spans]

    @property
    def spans(self):
        return [span for one in self.resource_spans for scoped in one.scope_spans for span in scoped.spans]

    @property
    def points(self):
        """(metric, point) of the newest message of metrics."""
        newest = [one for one in self.messages if isinstance(one, ExportMetricsServiceRequest)][-1:]
        return [
            (metric, point)
            for message in newest
            for resource in message.resource_metrics
            for scoped in resource.scope_metrics
            for metric in scoped.metrics
            for point in getattr(metric, metric.WhichOneof("data")).data_points
        ]


@contextlib.contextmanager
def receiving():
    """Run a receiver; gives it, with its address as `url`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.to = receiver = Receiver()
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def named(attributes):
    """Attributes as a dict of plain values."""
    return {one.key: _plain(one.value) for one in attributes}


def _plain(value):
    kind = value.WhichOneof("value")
    return [_plain(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)
