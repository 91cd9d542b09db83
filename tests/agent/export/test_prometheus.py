"""The metrics for Prometheus: a real one scrapes and is asked, promtool checks, and hostile clients gain nothing."""

import contextlib
import socket
import time

import exporting
import making as m
import prometheus
import pytest
from prometheus_client.parser import text_string_to_metric_families

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.export.live import Live
from perfwatch.agent.export.prometheus import endpoint
from perfwatch.agent.export.prometheus.address import Address, parse
from perfwatch.agent.export.prometheus.scraped import scraped
from perfwatch.agent.model import BUCKETS, MECHANISMS

EVIL = ('/"}\n# evil 1', "/\x00\\", "/" + "x" * 200)
ANY = Address("127.0.0.1", 0)


def fed(told, records, info=None):
    """Tell somebody of a whole stream."""
    info = info or m.info()
    correlator, live = Correlator(info), Live(info, [told])
    for record in records:
        live.take(record, correlator, correlator.feed(record))
    live.finish(correlator)


@pytest.fixture
def shop():
    """The metrics of a shop: what was bound, and what serves them."""
    with scraped(ANY) as (one, bound):
        odd = [
            m.served(90 + n, 3000 + n, ms=30, target=target, method="BREW", status=n * 250 or None)
            for n, target in enumerate(EVIL)
        ]
        fed(one, [*m.full_host(), *exporting.shop(), *odd])
        one.bound = bound
        yield one


def connect(bound):
    return socket.create_connection((bound.host, bound.port), timeout=60)


def asked(bound, request):
    """Send bytes, and return all that is answered until the end."""
    with connect(bound) as client:
        client.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while more := client.recv(65536):
                answer += more
        return answer


def samples(text):
    return [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]


@prometheus.needed
def test_a_real_prometheus_scrapes_them(shop, tmp_path):
    with prometheus.scraping(f"{shop.bound.host}:{shop.bound.port}", tmp_path) as one:
        assert one.query("sum(perfwatch_http_request_duration_seconds_count)") == {(): 3 + 15 + 3}
        assert one.query("sum(perfwatch_ledger_seconds_total)")[()] == pytest.approx(1.9 + 15 * 0.003 + 3 * 0.03)
        assert one.query('sum(perfwatch_verdicts_total{mechanism="lock"})') == {(): 3}
        in_time = 'sum(perfwatch_http_request_duration_seconds_bucket{le="0.5"})'
        assert one.query(in_time) == {(): 20}
        assert one.query("perfwatch_target_up").popitem()[1] == 1
        kinds = {name: told[0]["type"] for name, told in one.get("/api/v1/metadata").items()}
        assert kinds["perfwatch_http_request_duration_seconds"] == "histogram"
        assert kinds["perfwatch_ledger_seconds_total"] == "counter"
        assert all(told[0]["help"] for name, told in one.get("/api/v1/metadata").items())


@prometheus.needed
def test_promtool_finds_nothing_to_say(shop):
    assert prometheus.checked(shop.text()) == ""


def test_labels_are_of_closed_sets(shop):
    found = samples(shop.text())
    closed = {
        "status_class": {"1xx", "2xx", "3xx", "4xx", "5xx", "none"},
        "bucket": {*BUCKETS, "unaccounted"},
        "principle": {"efficiency", "concurrency", "capacity", "healthy", "unknown"},
        "mechanism": {*MECHANISMS, "none"},
        "resource": {"cpu", "memory", "disk", "network", "threads", "files"},
        "direction": {"receive", "send"},
    }
    for sample in found:
        for name, value in sample.labels.items():
            assert name in {"le", "version", "fidelity"} or value in closed[name]
    assert len(found) < 250
    text = shop.text().decode()
    assert not any(word in text for word in ("order", "evil", "127.0.0.1", "4313", "BREW", "web-1"))


def test_counters_only_grow_also_where_a_request_is_corrected():
    with scraped(ANY) as (one, _):
        info = m.info()
        correlator, live = Correlator(info), Live(info, [one])
        seen = []
        first, again = m.served(1, 100, ms=80), m.served(1, 9000, ms=8000)
        for record in (first, m.host(1000, 0, 0), m.host(5000, 0, 0), again, m.host(20_000, 0, 0)):
            live.take(record, correlator, correlator.feed(record))
            live._due_s = 0
            live.beat(correlator)
            named = {sample.name: sample.value for sample in samples(one.text())}
            seen.append((named["perfwatch_late_corrections_total"], _count(one)))
        assert seen == [(0, 0), (0, 0), (0, 1), (1, 1), (1, 1)]


def _count(one):
    return sum(s.value for s in samples(one.text()) if s.name == "perfwatch_http_request_duration_seconds_count")


def test_what_is_answered(shop):
    head, _, body = asked(shop.bound, b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == shop.text()
    assert f"Content-Length: {len(body)}\r\n".encode() in head
    assert asked(shop.bound, b"HEAD /metrics HTTP/1.0\r\n\r\n") == head + b"\r\n\r\n"
    assert asked(shop.bound, b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 404 ")
    assert asked(shop.bound, b"GET /metrics/../etc/passwd HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 404 ")
    assert asked(shop.bound, b"POST /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 405 ")
    assert asked(shop.bound, b"\x16\x03\x01\x00\r\n\r\n").startswith(b"HTTP/1.1 405 ")
    assert asked(shop.bound, b"\r\n\r\n").startswith(b"HTTP/1.1 405 ")
    assert asked(shop.bound, b"GET /" + b"x" * 100_000) == b""


def test_nothing_is_known_yet():
    with scraped(ANY) as (_, bound):
        assert asked(bound, b"GET /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 503 ")


def test_those_who_hold_connections_make_room(shop):
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connect(shop.bound)) for _ in range(3 * endpoint.MAX_OPEN)]
        assert asked(shop.bound, b"GET /metrics HTTP/1.1\r\n\r\n").endswith(shop.text())
        assert silent[0].recv(1) == b""


def test_who_is_slow_is_cut_off(shop, monkeypatch):
    monkeypatch.setattr(endpoint, "DEADLINE_S", 0.2)
    began = time.monotonic()
    assert asked(shop.bound, b"GET /metrics HTTP/1.1\r\n") == b""
    assert time.monotonic() - began >= 0.2


def test_an_end_cuts_everybody_off():
    with scraped(ANY) as (_, bound):
        client = connect(bound)
    with client, contextlib.suppress(ConnectionResetError):
        assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(bound)


@pytest.mark.parametrize(
    ("text", "found", "is_loopback"),
    [
        ("9464", ("127.0.0.1", 9464), True),
        ("127.0.0.1:0", ("127.0.0.1", 0), True),
        ("[::1]:9464", ("::1", 9464), True),
        ("localhost:9464", ("localhost", 9464), True),
        ("0.0.0.0:9464", ("0.0.0.0", 9464), False),
        ("[::]:9464", ("::", 9464), False),
        ("web-1:9464", ("web-1", 9464), False),
    ],
)
def test_addresses(text, found, is_loopback):
    assert parse(text) == found
    assert parse(text).is_loopback == is_loopback


@pytest.mark.parametrize("text", ["", "x", "70000", "-1", "1:", "::1:9464", "[::1]", "²", "localhost"])
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match=r".*"):
        parse(text)


def test_a_port_that_is_taken_is_one_line():
    taken = pytest.raises(PerfwatchError, match=r"Address already in use.*another port")
    with scraped(ANY) as (_, bound), taken, scraped(bound):
        pass
