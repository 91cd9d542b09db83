"""A recording, sent to an OTLP receiver: a span for each request and call, and metrics minute by minute."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.export.otlp.metrics import Metrics
from perfwatch.agent.export.otlp.spans import Spans, count_of
from perfwatch.agent.export.schemes import Schemes
from perfwatch.agent.export.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    from perfwatch.agent.export.exported import Exported
    from perfwatch.agent.export.otlp.sending import Receiver
    from perfwatch.agent.model import Record, SessionInfo
    from perfwatch.agent.selection import Selection

STEP_NS: Final = 60_000_000_000


class Sent(NamedTuple):
    """What was handed over, and what of it the receiver turned down, in its own words."""

    spans: int
    rejected: int
    reason: str


def send(exported: Exported, receiver: Receiver, whole: Selection, service_name: str | None = None) -> Sent:
    """Send what is meant of a recording; metrics only of all of it. PerfwatchError where it is not taken."""
    schemes, stop = Schemes(), Event()
    spans = Spans(exported.info, schemes, service_name)
    count = rejected = 0
    reason = ""
    for message in spans.messages(exported.requests(schemes.take)):
        refused = receiver.send(message, stop)
        count += count_of(message)
        if refused is not None:
            rejected, reason = rejected + refused.items, refused.reason
    if exported.selection == whole:
        for points in metric_messages(exported.info, exported.records(), service_name):
            refused = receiver.send(points, stop)
            reason = refused.reason if refused is not None else reason
    return Sent(count, rejected, reason)


def metric_messages(
    info: SessionInfo, records: Iterable[Record], service_name: str | None = None
) -> Iterator[ExportMetricsServiceRequest]:
    """Yield the metrics as they stood after each minute, and at the end."""
    correlator, tally, metrics = Correlator(info), Tally(), Metrics(info, service_name)
    due_ns = info.started_ns + STEP_NS
    for record in records:
        if record.at_ns >= due_ns:
            tally.settled()
            yield metrics.message(tally.totals, correlator.view(glance=True))
            due_ns = record.at_ns + STEP_NS
        tally.take(record, correlator, correlator.feed(record))
    tally.rest()
    yield metrics.message(tally.totals, correlator.view())
