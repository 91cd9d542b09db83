"""Others are told while a real server is recorded: they get what the recording has, and nobody can hold it up."""

import contextlib
import os
import re
import socket
import sys

import asking
import exporting
import making as m
import prometheus
import pytest
import servicing
import serving
import sessions
from click.testing import CliRunner
from otlp_receiver import named, receiving
from recording import recording
from waiting import until

from perfwatch.agent import open_session
from perfwatch.agent.cli import cli
from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.export.live import Live
from perfwatch.agent.export.otlp import feed, sending
from perfwatch.agent.export.otlp.sending import Receiver
from perfwatch.agent.service import segments
from perfwatch.agent.service.directory import Directory
from perfwatch.agent.service.settings import Settings
from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint
from perfwatch.probes.records import Loss

LOAD = (Endpoint("sleep", Call("/sleep/7"), 2), Endpoint("fast", Call("/fast/7"), 2))
CALLS = 12


def metrics_of(recorder):
    """Where a recording serves its metrics, as it says."""
    port = until(lambda: re.search(r"metrics at http://127\.0\.0\.1:(\d+)/metrics\n", recorder.log.read_text()))[1]
    return int(port)


def scraped(port):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()


def counted(text):
    found = re.findall(r"^perfwatch_http_request_duration_seconds_count\{.*\} (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


@contextlib.contextmanager
def pestered(port):
    """Connections that say nothing, half a request, or too much, for as long as the block takes."""
    with contextlib.ExitStack() as stack:
        for said in (b"", b"GET /metrics HTTP/1.1\r\n", b"x" * 65536) * 20:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            with contextlib.suppress(ConnectionError):
                client.sendall(said)
        yield


@pytest.mark.ledger
def test_what_is_told_live_is_what_was_recorded(tmp_path):
    with (
        receiving() as receiver,
        serving.http_server() as server,
        recording(server.pid, options=["--prometheus", "0", "--otlp", receiver.url, "--service-name", "shop"]) as one,
    ):
        port = metrics_of(one)
        with pestered(port):
            for _ in range(CALLS):
                assert serving.get(server.address, "/sleep/20")[0] == 200
        text = until(lambda: (found := scraped(port)) and counted(found) == CALLS and found, pause_s=0.2)
        assert prometheus.checked(text.partition("\r\n\r\n")[2].encode()) == ""
        receiver.wait_for(lambda one: len(one.spans) >= CALLS)
        one.stop()
        with open_session(one.file) as session:
            recorded = {request.record.id: request for request in session.requests()}
        assert re.search(rf"sent {CALLS} spans by OTLP\n", one.log.read_text())
    spans = {named(span.attributes)["perfwatch.request_id"]: span for span in receiver.spans}
    assert recorded.keys() == spans.keys()
    assert len(recorded) == CALLS
    for number, span in spans.items():
        latency_ns = recorded[number].ledger.total_ns
        assert span.end_time_unix_nano - span.start_time_unix_nano == latency_ns
        told = named(span.attributes)
        assert told["perfwatch.ledger.sleep_ms"] == pytest.approx(recorded[number].ledger["sleep"] / 1e6)
    durations = [point for metric, point in receiver.points if metric.name == "http.server.request.duration"]
    assert sum(point.count for point in durations) == CALLS


def order(number):
    """A slow order with 255 calls: 256 spans."""
    return asking.asks(exporting.slow_order(number, 600 * number), *(asking.call(600 * number, 1) for _ in range(255)))


def test_a_receiver_that_is_away_costs_the_recording_nothing(monkeypatch):
    """What cannot be sent is dropped, the oldest first, and told; what is left is sent when it is back."""
    monkeypatch.setattr(sending, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(feed, "MAX_SPANS", 1024)
    told, info = [], m.info()
    with receiving() as receiver:
        receiver.refusals.extend([(503,)] * sending.ATTEMPTS)
        correlator = Correlator(info)
        with feed.Feed(info, Receiver(receiver.url), "shop", told.append) as one:
            live = Live(info, [one])
            for number in range(1, 11):
                record = order(number)
                live.take(record, correlator, correlator.feed(record))
            live.finish(correlator)
            receiver.wait_for(lambda one: one.points)
        spans = len(receiver.spans)
    away, back, ended = told
    assert "takes nothing: HTTP 503" in away
    assert away.endswith("the recording goes on")
    assert back == "the OTLP receiver takes spans again"
    assert ended == f"sent {spans} spans by OTLP; {10 * 256 - spans} could not be sent"
    assert 0 < spans <= 512
    assert max(named(span.attributes).get("perfwatch.request_id", 0) for span in receiver.spans) == 10


class Kept:
    """Somebody who is told, and keeps it."""

    def __init__(self):
        self.requests, self.standings = [], []

    def take(self, requests, _schemes, standing):
        self.requests += requests
        self.standings.append(standing)


def test_a_service_tells_each_request_once_whichever_file_it_is_in(tmp_path, monkeypatch):
    for pause in ("COMMIT_S", "RETRY_S"):
        monkeypatch.setattr(segments, pause, 0.0)
    kept, settings = Kept(), Settings(str(tmp_path), segment_s=0, segment_bytes=10**4, total_bytes=32 * 10**6)
    with contextlib.closing(Directory(tmp_path)) as directory:
        follow = Live(sessions.INFO, [kept])
        many = segments.Segments("shop", sessions.INFO, directory, settings, print, live=follow)
        for second in range(6):
            many.take(sessions.second_of(second))
        many.close("over")
    assert len(servicing.files(tmp_path)) >= 2
    assert [request.record.id for request in kept.requests] == list(range(1, 25))
    assert sum(sums.count for sums in kept.standings[-1].totals.kinds.values()) == 24
    lost = [one.lost for second in range(6) for one in sessions.second_of(second) if isinstance(one, Loss)]
    assert kept.standings[-1].totals.lost_events == sum(lost) > kept.standings[-1].view.lost


@pytest.mark.parametrize("given", ["--prometheus x", "--prometheus ::1:9", "--service-name shop"])
def test_wrong_usage(given):
    assert CliRunner().invoke(cli, ["record", "--pid", "1", *given.split()]).exit_code == 2


@pytest.mark.parametrize(
    ("option", "library", "extra"),
    [("--prometheus 0", "prometheus_client", "prometheus"), ("--otlp http://h", "opentelemetry", "otlp")],
)
def test_a_missing_library_is_one_line_with_its_remedy(option, library, extra, monkeypatch):
    for module in [*sys.modules]:
        if module.startswith(("perfwatch.agent.export.otlp", "perfwatch.agent.export.prometheus", library)):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(PerfwatchError, match=rf"needs {library}\S*, which is not installed .*perfwatch\[{extra}\]"):
        CliRunner().invoke(cli, ["record", "--pid", str(os.getpid()), *option.split()], catch_exceptions=False)
