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
from perfwatch.agent.export.prometheus.whose import Name
from perfwatch.agent.service import metrics as of_service
from perfwatch.agent.service.metrics import MAX_NAMES, Metrics, Sender

COUNT = "perfwatch_http_request_duration_seconds_count"
STREAMS = {Name("shop-8000", "default/shop"): exporting.shop(), Name("idle-8001", ""): ()}


class Service:
    """The metrics of a service, and its recorders' ends of their sockets."""

    def __init__(self, stack):
        self._stack = stack
        self.metrics = stack.enter_context(contextlib.closing(Metrics(together)))

    def join(self, server, pod=""):
        """Let a recorder join; returns the name that was given, and what it sends by."""
        given, end = self.metrics.join(Name(server, pod))
        return given, self._stack.enter_context(contextlib.closing(Sender(end.detach())))

    def counts(self):
        """Requests by server."""
        found = {}
        for sample in samples(self.metrics.text()):
            if sample.name == COUNT:
                name = Name(sample.labels["server"], sample.labels["pod"])
                found[name] = found.get(name, 0) + sample.value
        return found


@pytest.fixture(name="service")
def without_recorders(monkeypatch):
    monkeypatch.setattr(of_service, "MADE_FOR_S", 0.0)
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
    standings = {}
    for name, records in STREAMS.items():
        given, recorder = service.join(*name)
        assert given == name
        standings[name] = tell(recorder, records)
    service.metrics.look()
    merged = samples(service.metrics.text())
    for name, standing in standings.items():
        whose = name._asdict()
        alone = [(one.name, whose | one.labels, one.value) for one in samples(exposition(standing))]
        assert [one[:3] for one in merged if whose.items() <= one.labels.items()] == alone
    assert [one[:3] for one in merged if "server" not in one.labels] == [("perfwatch_recorded_servers", {}, 2)]
    shop, idle = (service.counts()[name] for name in STREAMS)
    assert shop > idle == 0


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


def test_what_was_said_long_ago_is_not_told(service, monkeypatch):
    _, shop = service.join("shop")
    tell(shop)
    service.metrics.look()
    assert len(service.counts()) == 1
    monkeypatch.setattr(of_service, "FRESH_S", 0.0)
    assert [one[:3] for one in samples(service.metrics.text())] == [("perfwatch_recorded_servers", {}, 0)]


def test_texts_are_made_anew_a_second_later_at_the_earliest(service, monkeypatch):
    monkeypatch.setattr(of_service, "MADE_FOR_S", 3600.0)
    empty = service.metrics.text()
    tell(service.join("shop")[1])
    service.metrics.look()
    assert service.metrics.text() is empty


def test_a_name_that_is_taken_gets_a_number_and_is_free_again(service):
    def joined(*name):
        return service.join(*name)[0]

    names = [joined("python") for _ in range(3)]
    assert [name.server for name in names] == ["python", "python-2", "python-3"]
    assert joined("python", "default/shop") == ("python", "default/shop")
    service.metrics.leave(names[1])
    assert [joined("python").server for _ in range(2)] == ["python-2", "python-4"]
    service.metrics.leave(names[0])
    assert joined("python") == names[0]


def test_names_are_bounded(service):
    for number in range(MAX_NAMES):
        service.metrics.leave(service.join(f"evil-{number}")[0])
    assert [service.join(f"more-{number}")[0].server for number in range(2)] == ["other", "other-2"]
    assert service.join("evil-1")[0].server == "evil-1"


def test_a_recorder_does_not_wait_for_a_service_that_does_not_read(service):
    name, shop = service.join("shop")
    for _ in range(200):
        tell(shop)
    service.metrics.look()
    assert service.counts() == {name: 0}
