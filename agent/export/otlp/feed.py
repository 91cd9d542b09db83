"""Sends traces and metrics while a recording is made: in a thread of its own, and never more than it can hold.

The recorder hands requests over and goes on. Where the receiver does not keep up, or is away, the oldest that wait are
dropped and counted; the recording has them all the same.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.export.otlp.metrics import Metrics
from perfwatch.agent.export.otlp.sending import ATTEMPTS
from perfwatch.agent.export.otlp.spans import Spans, count_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    from perfwatch.agent.export.otlp.sending import Receiver
    from perfwatch.agent.export.schemes import Schemes
    from perfwatch.agent.export.standing import Standing
    from perfwatch.agent.model import Request, SessionInfo

MAX_SPANS: Final = 16_384
"""So many wait at most: some 40 MB."""
METRICS_S: Final = 15.0
_PATIENCE_S: Final = 20.0


class _Waiting:
    """Requests that wait to be sent, the oldest first; shared by two threads, neither of which waits for long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: deque[Request] = deque()
        self._spans = 0
        self.dropped = 0

    def put(self, requests: Sequence[Request]) -> None:
        """Add requests; where there are too many, the oldest go."""
        with self._lock:
            for request in requests:
                self._requests.append(request)
                self._spans += _spans(request)
            while self._spans > MAX_SPANS:
                dropped = _spans(self._requests.popleft())
                self._spans -= dropped
                self.dropped += dropped

    def take(self) -> list[Request]:
        """Take all."""
        with self._lock:
            taken, self._requests, self._spans = list(self._requests), deque(), 0
            return taken


class Feed:
    """Sends while it is entered; what is left is sent at the end, if the receiver takes it at once."""

    def __init__(
        self, info: SessionInfo, receiver: Receiver, service_name: str | None, tell: Callable[[str], None]
    ) -> None:
        """`tell` is called with a line when the receiver takes nothing, when it does again, and at the end."""
        self._info = info
        self._receiver = receiver
        self._service_name = service_name
        self._tell = tell
        self._metrics = Metrics(info, service_name)
        self._waiting = _Waiting()
        self._schemes: Schemes | None = None
        self._standing: Standing | None = None
        self._due_s = 0.0
        self._news, self._stop = threading.Event(), threading.Event()
        self._sent = self._failed = 0
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="perfwatch-otlp", daemon=True)

    def take(self, requests: Sequence[Request], schemes: Schemes, standing: Standing) -> None:
        """Take requests that nothing changes any more, and how things stand now."""
        self._schemes, self._standing = schemes, standing
        self._waiting.put(requests)
        self._news.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._news.set()
        self._thread.join(_PATIENCE_S)  # a receiver may answer as slowly as it likes
        lost = self._failed + self._waiting.dropped
        self._tell(f"sent {self._sent} spans by OTLP" + (f"; {lost} could not be sent" if lost else ""))

    def _run(self) -> None:
        while not self._stop.is_set():
            self._news.wait()
            self._news.clear()
            self._send_all()
        self._due_s = 0.0
        self._send_all()

    def _send_all(self) -> None:
        requests, schemes = self._waiting.take(), self._schemes
        if schemes is not None:
            for message in Spans(self._info, schemes, self._service_name).messages(requests):
                self._send(message, count_of(message))
        standing = self._standing
        if standing is not None and time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + METRICS_S
            self._send(self._metrics.message(standing.totals, standing.view), 0)

    def _send(self, message: ExportTraceServiceRequest | ExportMetricsServiceRequest, spans: int) -> None:
        """Send a message; one that is not taken is dropped. At the end nothing is tried where that has failed once."""
        is_ending = self._stop.is_set()
        if is_ending and self._is_failing:
            self._failed += spans
            return
        try:
            refused = self._receiver.send(message, self._stop, 1 if is_ending else ATTEMPTS)
        except PerfwatchError as error:
            self._failed += spans
            if not self._is_failing:
                self._tell(f"{error}; the recording goes on")
            self._is_failing = True
            return
        if self._is_failing:
            self._tell("the OTLP receiver takes spans again")
        self._is_failing = False
        rejected = refused.items if refused is not None and spans else 0
        self._failed += rejected
        self._sent += spans - rejected


def _spans(request: Request) -> int:
    return 1 + len(request.record.calls)
