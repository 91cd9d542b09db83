"""How things stand in Prometheus's text format, by prometheus_client.

Labels are of closed sets: bucket, principle, mechanism, class of status, resource. Never a path, a PID, a peer or a
name that came from the target: a client could make as many series of them as it likes. Whose they are, a service adds
(`whose.py`).
"""

from __future__ import annotations

from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from perfwatch.agent.export.gauges import gauges
from perfwatch.agent.export.totals import BOOKED, BOUNDS_S, Sums
from perfwatch.agent.model import PRINCIPLE_OF

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import Metric

    from perfwatch.agent.export.standing import Standing
    from perfwatch.agent.export.totals import Kind, Totals

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
NO_STATUS: Final = "none"
_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx", NO_STATUS)
_SUFFIXES: Final = {"By": "_bytes", "s": "_seconds", "1": "_ratio"}
_VERDICTS: Final = (*((of, name) for name, of in PRINCIPLE_OF.items()), ("healthy", None), ("unknown", None))


def exposition(standing: Standing) -> bytes:
    """Return the text that a scrape gets; about 2 ms."""
    return written(_families(standing))


def written(families: Iterable[Metric]) -> bytes:
    """Return the text of metrics."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(families))
    return generate_latest(registry)


class _Given(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(standing: Standing) -> Iterator[Metric]:
    info, totals, _ = standing
    about = {"version": info.perfwatch_version, "fidelity": info.fidelity}
    yield InfoMetricFamily("perfwatch_build", "The perfwatch that measures.", about)
    yield _durations(totals)
    yield _ledger(totals)
    yield _verdicts(totals)
    lost = "Events that could not be recorded."
    yield CounterMetricFamily("perfwatch_lost_events", lost, totals.lost_events)
    late = "Corrections of requests that were counted already."
    yield CounterMetricFamily("perfwatch_late_corrections", late, totals.late_corrections)
    yield from _gauges(standing)


def _durations(totals: Totals) -> Metric:
    about = "Duration of HTTP requests, from the first byte in the kernel to the last one sent."
    family = HistogramMetricFamily("perfwatch_http_request_duration_seconds", about, labels=["status_class"])
    found = totals.summed(_class_of)
    for name in _CLASSES:
        sums = found.get(name) or Sums()
        bounds = [*map(str, BOUNDS_S), "+Inf"]
        counts = list(zip(bounds, accumulate(sums.counts), strict=True))
        family.add_metric([name], buckets=counts, sum_value=sums.total_ns / 1e9)
    return family


def _class_of(kind: Kind) -> str:
    """Return the class of a status; of what was not answered, or with none that is one, `none`."""
    found = f"{(kind.status or 0) // 100}xx"
    return found if found in _CLASSES else NO_STATUS


def _ledger(totals: Totals) -> Metric:
    family = CounterMetricFamily("perfwatch_ledger_seconds", "Where the requests' time went.", labels=["bucket"])
    whole = totals.summed(lambda _: None).get(None) or Sums()
    for bucket, spent_ns in zip(BOOKED, whole.booked_ns, strict=True):
        family.add_metric([bucket], spent_ns / 1e9)
    return family


def _verdicts(totals: Totals) -> Metric:
    about = "Requests that were judged, by the verdict on each."
    family = CounterMetricFamily("perfwatch_verdicts", about, labels=["principle", "mechanism"])
    for principle, mechanism in _VERDICTS:
        family.add_metric([principle, mechanism or "none"], totals.verdicts[principle, mechanism])
    return family


def _gauges(standing: Standing) -> Iterator[Metric]:
    for (name, unit, about), same in groupby(gauges(standing.view), key=lambda one: one[:3]):
        found = list(same)
        labels = [label for label, _ in found[0].labels]
        family = GaugeMetricFamily(name.replace(".", "_") + _SUFFIXES.get(unit, ""), about, labels=labels)
        for one in found:
            family.add_metric([value for _, value in one.labels], one.value)
        yield family
