"""The metrics of several recorders at one address: whose is whose, and what comes of those that have ended."""

from __future__ import annotations

import contextlib

import exporting
import making as m
import pytest
from prometheus_client.parser import text_string_to_metric_families

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.export.live import Live
from perfwatch.agent.export.prometheus.exposition import exposition
from perfwatch.agent.export.prometheus.together import together
from perfwatch.agent.service.metrics import Metrics, Sender

COUNT = "perfwatch_http_request_duration_seconds_count"
STREAMS = {"shop-8000": exporting.shop(), "idle-8001": ()}


class Service:
    """The metrics of a service, and its recorders' ends of their sockets."""

    def __init__(self, stack):
        self._stack = stack
        self.metrics = stack.enter_context(contextlib.closing(Metrics(together)))

    def join(self, name):
        """Let a recorder join; returns the name that was given, and what it sends by."""
        given, end = self.metrics.join(name)
        return given, self._stack.enter_context(contextlib.closing(Sender(end.detach())))

    def counts(self):
        """Requests by server."""
        found = {}
        for sample in samples(self.metrics.text()):
            if sample.name == COUNT:
                found[sample.labels["server"]] = found.get(sample.labels["server"], 0) + sample.value
        return found


@pytest.fixture(name="service")
def without_recorders():
    with contextlib.ExitStack() as stack:
        yield Service(stack)


def tell(one, records=()):
    """Let a recorder tell of a whole stream, and return how things stand."""
    standings = []

    class Kept:
        def take(self, _requests, _schemes, standing):
            standings.append(standing)

    info = m.info()
    correlator, live = Correlator(info), Live(info, [one, Kept()])
    for record in records:
        live.take(record, correlator, correlator.feed(record))
    live.finish(correlator)
    return standings[-1]


def samples(text):
    return [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]


def test_each_sample_says_whose_it_is_and_is_what_its_recorder_said(service):
    standings = {name: tell(service.join(name)[1], records) for name, records in STREAMS.items()}
    service.metrics.look()
    merged = samples(service.metrics.text())
    for name, standing in standings.items():
        alone = [(one.name, {"server": name, **one.labels}, one.value) for one in samples(exposition(standing))]
        assert [one[:3] for one in merged if one.labels.get("server") == name] == alone
    assert [one[:3] for one in merged if "server" not in one.labels] == [("perfwatch_recorded_servers", {}, 2)]
    assert service.counts()["shop-8000"] > service.counts()["idle-8001"] == 0


def test_the_newest_text_of_a_recorder_counts_and_none_is_left_of_one_that_has_ended(service):
    name, shop = service.join("shop")
    tell(shop)
    tell(shop, exporting.shop())
    assert service.counts() == {}
    service.metrics.look()
    assert service.counts()[name] > 0
    service.metrics.leave(name)
    assert service.counts() == {}
    tell(shop)  # nobody hears it, and nobody is harmed


def test_a_name_that_is_taken_gets_a_number_and_is_free_again(service):
    assert [service.join("python")[0] for _ in range(3)] == ["python", "python-2", "python-3"]
    service.metrics.leave("python-2")
    assert [service.join("python")[0] for _ in range(2)] == ["python-2", "python-4"]
    service.metrics.leave("python")
    assert service.join("python")[0] == "python"


def test_a_recorder_does_not_wait_for_a_service_that_does_not_read(service):
    name, shop = service.join("shop")
    for _ in range(200):
        tell(shop)
    service.metrics.look()
    assert service.counts() == {name: 0}
