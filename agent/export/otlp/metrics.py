"""Totals and gauges as OTLP's metrics: cumulative since the recording began, as one moment of it has them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)

from perfwatch.agent.export.gauges import gauges
from perfwatch.agent.export.otlp.resource import SCHEMA_URL, resource, scope
from perfwatch.agent.export.otlp.values import attributes, unix_ns
from perfwatch.agent.export.totals import BOOKED, BOUNDS_S, OVERFLOW

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from perfwatch.agent.export.otlp.values import Value
    from perfwatch.agent.export.totals import Kind, Sums, Totals
    from perfwatch.agent.model import SessionInfo, View


class Metrics:
    """Makes the messages of one session."""

    def __init__(self, info: SessionInfo, service_name: str | None = None) -> None:
        self._info = info
        self._service_name = service_name

    def message(self, totals: Totals, view: View) -> ExportMetricsServiceRequest:
        """Return all metrics as of the view's moment; those of each service apart, those of the host with the first."""
        at = _Moment(self._info, view.now_ns)
        made = [(service, list(_requests(one, at))) for service, one in totals.by_service().items()]
        made[0][1].extend(_others(totals, view, at))
        return ExportMetricsServiceRequest(
            resource_metrics=[
                ResourceMetrics(
                    resource=resource(self._info, service, self._service_name),
                    scope_metrics=[ScopeMetrics(scope=scope(self._info), metrics=metrics, schema_url=SCHEMA_URL)],
                    schema_url=SCHEMA_URL,
                )
                for service, metrics in made
            ]
        )


class _Moment:
    """When points are of: from the beginning of the session to now."""

    def __init__(self, info: SessionInfo, now_ns: int) -> None:
        self.from_unix_ns = unix_ns(info, info.started_ns)
        self.unix_ns = max(unix_ns(info, now_ns), self.from_unix_ns)

    def point(self, value: float, labels: Mapping[str, Value | None]) -> NumberDataPoint:
        return NumberDataPoint(
            attributes=attributes(labels),
            start_time_unix_nano=self.from_unix_ns,
            time_unix_nano=self.unix_ns,
            as_double=value,
        )


def _requests(totals: Totals, at: _Moment) -> Iterator[Metric]:
    if not totals.kinds:
        return
    yield Metric(
        name="http.server.request.duration",
        unit="s",
        description="Duration of HTTP server requests, from the first byte in the kernel to the last one sent.",
        histogram=Histogram(
            aggregation_temporality=AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
            data_points=[_durations(kind, sums, at) for kind, sums in totals.kinds.items()],
        ),
    )
    yield _sum("perfwatch.ledger", "s", "Where the requests' time went.", _booked(totals, at))


def _durations(kind: Kind, sums: Sums, at: _Moment) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=attributes(_labels(kind)),
        start_time_unix_nano=at.from_unix_ns,
        time_unix_nano=at.unix_ns,
        count=sums.count,
        sum=sums.total_ns / 1e9,
        bucket_counts=sums.counts,
        explicit_bounds=BOUNDS_S,
    )


def _labels(kind: Kind) -> dict[str, Value | None]:
    if kind == OVERFLOW:
        return {"otel.metric.overflow": True}
    return {
        "http.request.method": kind.method,
        "http.route": kind.route,
        "http.response.status_code": kind.status,
        "error.type": kind.error,
        "network.protocol.name": "http",
        "network.protocol.version": kind.version,
        "url.scheme": kind.scheme,
    }


def _booked(totals: Totals, at: _Moment) -> Iterator[NumberDataPoint]:
    """Yield the ledger of each endpoint, whatever became of its requests."""
    for (method, route), sums in totals.summed(lambda kind: (kind.method, kind.route)).items():
        for bucket, spent_ns in zip(BOOKED, sums.booked_ns, strict=True):
            labels: dict[str, Value | None] = {
                "http.request.method": method,
                "http.route": route,
                "perfwatch.bucket": bucket,
            }
            yield at.point(spent_ns / 1e9, labels)


def _others(totals: Totals, view: View, at: _Moment) -> Iterator[Metric]:
    verdicts = [
        at.point(count, {"perfwatch.principle": principle, "perfwatch.mechanism": mechanism})
        for (principle, mechanism), count in totals.verdicts.items()
    ]
    if verdicts:
        yield _sum("perfwatch.verdicts", "{request}", "Requests that were judged, by the verdict on each.", verdicts)
    late = [at.point(totals.late_corrections, {})]
    yield _sum("perfwatch.late_corrections", "{request}", "Corrections of requests that were counted already.", late)
    lost = [at.point(totals.lost_events, {})]
    yield _sum("perfwatch.lost_events", "{event}", "Events that could not be recorded.", lost)
    for (name, unit, about), same in groupby(gauges(view), key=lambda one: one[:3]):
        points = [at.point(one.value, {f"perfwatch.{label}": value for label, value in one.labels}) for one in same]
        yield Metric(name=name, unit=unit, description=about, gauge=Gauge(data_points=points))


def _sum(name: str, unit: str, about: str, points: Iterable[NumberDataPoint]) -> Metric:
    cumulative = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    made = Sum(aggregation_temporality=cumulative, is_monotonic=True, data_points=points)
    return Metric(name=name, unit=unit, description=about, sum=made)
