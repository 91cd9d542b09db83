"""Hands messages to an OTLP receiver, by HTTP: with a time limit, again where that may help, and never elsewhere.

What is answered is not believed more than needed: no redirect is followed, no more than 64 kB of it is read. By the
protocol 429, 502, 503 and 504 mean `later`, as a receiver that cannot be reached does; anything else is final.
"""

from __future__ import annotations

import gzip
import http.client
import random
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from perfwatch.agent.errors import PerfwatchError

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

TIMEOUT_S: Final = 10.0
ATTEMPTS: Final = 5
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0
_LATER: Final = frozenset({429, 502, 503, 504})
_MOST_ANSWER: Final = 1 << 16
_NOT_FOUND: Final = 404
_MOST_SHOWN: Final = 200
_REMEDY: Final = "is a receiver of OTLP over HTTP running there?"


class Rejected(NamedTuple):
    """How much of a message that it took a receiver turned down, and why."""

    items: int
    reason: str


class _Later(Exception):
    """The receiver may take it another time."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        self.reason = reason
        self.after_s = after_s
        super().__init__(reason)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect as the answer that it is: what is sent is meant for one receiver."""

    def redirect_request(self, *_: object) -> None:
        return None


class Receiver:
    """An OTLP receiver by the base of its address, `http://localhost:4318`; PerfwatchError where it is none."""

    def __init__(self, endpoint: str, headers: Mapping[str, str] | None = None) -> None:
        self._base = _checked(endpoint)
        self._headers = {
            **(headers or {}),
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
            "User-Agent": "perfwatch",
        }
        self._opener = urllib.request.build_opener(_NoRedirect)

    def send(
        self,
        message: ExportTraceServiceRequest | ExportMetricsServiceRequest,
        stop: threading.Event,
        attempts: int = ATTEMPTS,
    ) -> Rejected | None:
        """Send a message; PerfwatchError where it is not taken. Returns what of it was turned down.

        `stop` ends the waiting between attempts; the attempt under way is finished.
        """
        is_traces = isinstance(message, ExportTraceServiceRequest)
        url = f"{self._base}/v1/{'traces' if is_traces else 'metrics'}"
        answer = self._tried(url, gzip.compress(message.SerializeToString(), 5), stop, attempts)
        return _turned_down(answer, is_traces=is_traces)

    def _tried(self, url: str, body: bytes, stop: threading.Event, attempts: int) -> bytes:
        pause_s = _FIRST_PAUSE_S
        for left in reversed(range(attempts)):
            try:
                return self._post(url, body)
            except _Later as later:
                wait_s = later.after_s if later.after_s is not None else pause_s * random.uniform(0.5, 1.5)  # noqa: S311
                if not left or stop.wait(min(wait_s, _LONGEST_PAUSE_S)):
                    raise PerfwatchError(f"{url} takes nothing: {later.reason}", _REMEDY) from None
                pause_s *= 2
        raise AssertionError(attempts)

    def _post(self, url: str, body: bytes) -> bytes:
        request = urllib.request.Request(url, data=body, headers=self._headers, method="POST")  # noqa: S310 - checked
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                return bytes(answer.read(_MOST_ANSWER))
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(url, error) from None
        except (OSError, http.client.HTTPException) as error:
            raise _Later(_reason(error)) from None


def _checked(endpoint: str) -> str:
    """Return the base of an address; only HTTP, whatever else urllib could open."""
    try:
        parts = urlsplit(endpoint)
        is_sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_sound = False
    if not is_sound or any(char.isspace() or not char.isprintable() for char in endpoint):
        raise PerfwatchError(f"{endpoint!r} is no address of an OTLP receiver", "give it as http://localhost:4318")
    if parts.username is not None:
        raise PerfwatchError("a password does not belong into an address", "give it in OTEL_EXPORTER_OTLP_HEADERS")
    if parts.query or parts.fragment:
        raise PerfwatchError(f"{endpoint!r} has more than a base", "give it as http://localhost:4318")
    return endpoint.rstrip("/")


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    told = f"HTTP {error.code} {_printable(str(error.reason))}".rstrip()
    if error.code in _LATER:
        return _Later(told, _after_s(error))
    remedy = "give the base of its address, without /v1/..." if error.code == _NOT_FOUND else None
    return PerfwatchError(f"{url} refused it: {told}", remedy)


def _after_s(error: urllib.error.HTTPError) -> float | None:
    told = error.headers.get("Retry-After", "")
    return float(told) if told.isascii() and told.isdecimal() else None


def _turned_down(answer: bytes, *, is_traces: bool) -> Rejected | None:
    """Read what a receiver says of a message that it took; an answer that says nothing means that all is well."""
    try:
        if is_traces:
            spans = ExportTraceServiceResponse.FromString(answer).partial_success
            count, message = spans.rejected_spans, spans.error_message
        else:
            points = ExportMetricsServiceResponse.FromString(answer).partial_success
            count, message = points.rejected_data_points, points.error_message
    except DecodeError:
        return None
    return Rejected(count, _printable(message)) if count else None


def _reason(error: Exception) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return _printable(str(getattr(inner, "strerror", None) or inner or type(inner).__name__))


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:_MOST_SHOWN]
