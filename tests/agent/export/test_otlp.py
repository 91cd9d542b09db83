"""OTLP: what a receiver that is made of opentelemetry-proto gets, in the names of the semantic conventions."""

import importlib
import pkgutil

import around
import asking
import exporting
import making as m
import pytest
import sessions
import two_ends
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.semconv import attributes as conventions
from otlp_receiver import named, receiving

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.export.otlp import sending
from perfwatch.agent.export.otlp.recording import metric_messages
from perfwatch.agent.export.otlp.spans import Spans
from perfwatch.agent.export.tally import Tally
from perfwatch.agent.model import BUCKETS
from perfwatch.probes.records import ServedRequest
from perfwatch.probes.samples import Connection

STABLE = {
    value
    for module in pkgutil.iter_modules(conventions.__path__)
    for name, value in vars(importlib.import_module(f"{conventions.__name__}.{module.name}")).items()
    if name.isupper() and isinstance(value, str)
}
UNSTABLE = {"rpc.system", "rpc.grpc.status_code", "process.pid", "thread.id", "url.template", "otel.metric.overflow"}
SECOND = 1_000_000_000


@pytest.fixture
def receiver():
    with receiving() as one:
        yield one


@pytest.fixture
def no_waiting(monkeypatch):
    monkeypatch.setattr(sending, "_FIRST_PAUSE_S", 0.001)


def sent(receiver, path, *more):
    return exporting.run(path, "--otlp", receiver.url, *more)


def shop_with_calls():
    """One slow order with two calls, one of them in vain, and what fails or is odd in other ways."""
    order = m.served(1, 1000, calls=300, on_cpu=200, lock=10, method="POST", target="/order/8812", waits=())
    order = asking.asks(order, asking.call(550, 290, connect=10), asking.refused(900, 5, peer="unix:/run/x.sock"))
    return [
        order,
        m.served(2, 1100, ms=30, status=503, target="/health"),
        m.served(3, 1200, ms=30, status=None, outcome="aborted", method="BREW", target=None),
        m.served(4, 1300, ms=30, protocol="grpc", grpc_status=5, target="/shop.Orders/Place", method="POST"),
    ]


def test_a_request_is_a_server_span_and_its_calls_are_its_children(receiver, tmp_path):
    opened = around.connection(0, 9)
    path = exporting.recorded(tmp_path / "shop", [opened, *shop_with_calls()], m.info(slow_ms=100))
    ended = sent(receiver, path, "--service-name", "shop")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", f"sent 6 spans to {receiver.url}\n")

    order, call, refused = (span for span in receiver.spans if span.trace_id == receiver.spans[0].trace_id)
    told = named(order.attributes)
    began = m.info().started_unix_ns + 490 * m.MS
    assert (order.name, order.kind, order.parent_span_id) == ("POST /order/{}", Span.SPAN_KIND_SERVER, b"")
    assert (order.start_time_unix_nano, order.end_time_unix_nano) == (began, began + 510 * m.MS)
    assert (
        told
        | {
            "http.request.method": "POST",
            "http.route": "/order/{}",
            "http.response.status_code": 200,
            "url.path": "/order/8812",
            "url.scheme": "http",
            "server.address": "127.0.0.1",
            "server.port": 8000,
            "network.peer.port": 50000,
            "perfwatch.slow": True,
            "perfwatch.verdict.principle": "capacity",
            "perfwatch.verdict.mechanism": "dependency",
        }
        == told
    )
    ledger = {bucket: told[f"perfwatch.ledger.{bucket}_ms"] for bucket in BUCKETS}
    assert {bucket: ms for bucket, ms in ledger.items() if ms} == {"calls": 300, "on_cpu": 200, "lock": 10}
    assert sum(ledger.values()) + told["perfwatch.ledger.unaccounted_ms"] == 510

    asked = named(call.attributes)
    assert {call.parent_span_id, refused.parent_span_id} == {order.span_id}
    assert (call.name, call.kind) == ("SELECT 10.0.0.5:5432", Span.SPAN_KIND_CLIENT)
    assert (
        asked
        | {
            "db.system.name": "postgresql",
            "db.operation.name": "SELECT",
            "db.query.text": asking.SELECT,
            "server.address": "10.0.0.5",
            "server.port": 5432,
            "perfwatch.call.connect_ms": 10,
            "perfwatch.call.wait_ms": 290,
        }
        == asked
    )
    assert refused.status.code == Status.STATUS_CODE_ERROR
    assert named(refused.attributes)["server.address"] == "/run/x.sock"
    resource = named(receiver.resource_spans[0].resource.attributes)
    assert (resource["service.name"], resource["host.name"], resource["process.runtime.version"]) == (
        "shop",
        "web-1",
        "3.12.1",
    )


def test_what_failed_and_what_is_odd(receiver, tmp_path):
    sent(receiver, exporting.recorded(tmp_path / "shop", shop_with_calls()))
    errors = {span.name: named(span.attributes).get("error.type") for span in receiver.spans}
    assert errors == {
        "POST /order/{}": None,
        "SELECT 10.0.0.5:5432": None,
        "connect unix:/run/x.sock": "failed",
        "GET /health": "503",
        "HTTP": "aborted",
        "POST /shop.Orders/Place": "grpc 5",
    }
    odd = next(named(span.attributes) for span in receiver.spans if span.name == "HTTP")
    assert odd["http.request.method"] == "_OTHER"
    assert odd["http.request.method_original"] == "BREW"
    assert not {"url.path", "http.route", "http.response.status_code", "url.scheme"} & odd.keys()
    assert all((span.status.code == Status.STATUS_CODE_ERROR) == bool(errors[span.name]) for span in receiver.spans)


def test_names_are_those_of_the_conventions(receiver, tmp_path):
    sent(receiver, exporting.recorded(tmp_path / "shop", shop_with_calls()))
    used = {one.key for span in receiver.spans for one in span.attributes}
    used |= {one.key for _, point in receiver.points for one in point.attributes}
    assert {name for name in used if not name.startswith("perfwatch.")} <= STABLE | UNSTABLE


def test_metrics_add_up_to_the_requests(receiver, tmp_path):
    sent(receiver, exporting.recorded(tmp_path / "shop"))
    durations = {
        named(point.attributes)["http.route"]: point
        for metric, point in receiver.points
        if metric.histogram.data_points
    }
    orders, health = durations["/order/{}"], durations["/health"]
    assert (orders.count, orders.sum) == (3, pytest.approx(1.9))
    assert dict(zip(orders.explicit_bounds, orders.bucket_counts, strict=False))[0.5] == 2
    assert (health.count, health.bucket_counts[0]) == (15, 15)
    spent = [(named(p.attributes), p.as_double) for metric, p in receiver.points if metric.name == "perfwatch.ledger"]
    assert sum(seconds for _, seconds in spent) == pytest.approx(1.9 + 15 * 0.003)
    assert next(s for told, s in spent if told["perfwatch.bucket"] == "lock" and told["http.route"] == "/order/{}") == (
        pytest.approx(1.75)
    )
    judged = [
        (named(p.attributes), p.as_double) for metric, p in receiver.points if metric.name == "perfwatch.verdicts"
    ]
    assert judged == [({"perfwatch.principle": "concurrency", "perfwatch.mechanism": "lock"}, 3)]


def test_a_part_of_a_recording_is_spans_only_and_twice_the_same(receiver, tmp_path):
    path = exporting.recorded(tmp_path / "shop")
    for _ in range(2):
        sent(receiver, path, "--request", "2")
    first, second = receiver.spans
    assert first == second
    assert receiver.points == []


def test_services_are_told_apart_and_linked(receiver, tmp_path):
    inner = two_ends.callee(2, 100, 180)
    outer = two_ends.caller_of(1, 200, two_ends.call(100, 180))
    sent(receiver, exporting.recorded(tmp_path / "both", [*two_ends.MEMBERS, inner, outer], two_ends.INFO))
    services = {
        named(one.resource.attributes)["service.name"]: [s for scoped in one.scope_spans for s in scoped.spans]
        for one in receiver.resource_spans
    }
    (back,), (_, call) = services["gunicorn"], services["uvicorn"]
    assert [(link.trace_id, link.span_id) for link in call.links] == [(back.trace_id, back.span_id)]


def test_a_busy_receiver_is_asked_again(receiver, tmp_path, no_waiting):
    receiver.refusals.extend([(503,), (429, {"Retry-After": "0"}), (502,)])
    assert sent(receiver, exporting.recorded(tmp_path / "shop"), "--request", "2").exit_code == 0
    assert len(receiver.headers) == 4
    assert len(receiver.spans) == 1


def test_what_is_final_is_one_line(receiver, tmp_path, no_waiting):
    path = exporting.recorded(tmp_path / "shop")
    receiver.refusals.append((400, {}, b"no\x1b[2J"))
    with pytest.raises(PerfwatchError, match=r"/v1/traces refused it: HTTP 400 Bad Request$"):
        sent(receiver, path)
    receiver.refusals.append((307, {"Location": f"{receiver.url}/v1/traces"}))
    with pytest.raises(PerfwatchError, match="refused it: HTTP 307"):
        sent(receiver, path)
    with pytest.raises(PerfwatchError, match=r"HTTP 404.*give the base of its address"):
        exporting.run(path, "--otlp", f"{receiver.url}/v1/traces")
    receiver.refusals.extend([(503,)] * sending.ATTEMPTS)
    with pytest.raises(PerfwatchError, match=r"takes nothing: HTTP 503.*is a receiver"):
        sent(receiver, path)
    assert receiver.messages == []


def test_nobody_there(tmp_path, no_waiting):
    with receiving() as gone:
        pass
    with pytest.raises(PerfwatchError, match="takes nothing: Connection refused"):
        exporting.run(exporting.recorded(tmp_path / "shop"), "--otlp", gone.url)


def test_what_a_receiver_turns_down_is_told(receiver, tmp_path):
    partial = ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = 3
    partial.partial_success.error_message = "too \x1b old"
    receiver.partial = partial.SerializeToString()
    with pytest.raises(PerfwatchError, match=r"turned down 3 of 18 spans: too   old"):
        sent(receiver, exporting.recorded(tmp_path / "shop"))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://host",
        "localhost:4318",
        "http://",
        "http://a b",
        "http://u:p@host",
        "http://h/?q",
        "http://h:x",
    ],
)
def test_only_an_address_of_a_receiver(url, tmp_path):
    with pytest.raises(PerfwatchError):
        exporting.run(exporting.recorded(tmp_path / "shop"), "--otlp", url)


def test_headers_come_from_the_environment(receiver, tmp_path, monkeypatch):
    path = exporting.recorded(tmp_path / "shop")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20secret, Tenant=shop,Content-Type=text/plain")
    sent(receiver, path)
    assert receiver.headers[0] | {"Api-Key": "a secret", "Tenant": "shop"} == receiver.headers[0]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a\r\nb=c")
    with pytest.raises(PerfwatchError, match="is no list of headers"):
        sent(receiver, path)


def test_wrong_usage(tmp_path):
    path = exporting.recorded(tmp_path / "shop")
    for arguments in (
        [],
        ["--format", "collapsed", "--otlp", "http://h"],
        ["--otlp", "http://h", "-o", "out"],
        ["--service-name", "x"],
    ):
        assert exporting.run(path, *arguments).exit_code == 2


@settings(max_examples=40)
@given(st.lists(st.one_of(sessions._of(ServedRequest), sessions._of(Connection)), min_size=1, max_size=4))
def test_whatever_a_recording_says_can_be_sent(records):
    info, tally, correlator = m.info(), Tally(), Correlator(m.info())
    for record in records:
        tally.take(record, correlator, correlator.feed(record))
    requests = tally.rest()
    for message in (*Spans(info, tally.schemes).messages(requests), *metric_messages(info, records)):
        assert message.FromString(message.SerializeToString()) == message
    assert sum(sums.count for sums in tally.totals.kinds.values()) == len(requests)
