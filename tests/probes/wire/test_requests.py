"""Requests from packets, against the client's own log of what it asked gunicorn."""

import http.client
import os
import socket
import statistics
import struct
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import serving
from ledgering import script, waited_for_cpu_ns
from netting import as_nobody, descriptors
from waiting import until
from wiring import NEEDS_PACKETS, packet_sockets

from perfwatch.examples.http_client import Answer, Call, Connection
from perfwatch.probes.errors import Unavailable
from perfwatch.probes.wire.capture import Packet
from perfwatch.probes.wire.exchanges import Exchanges
from perfwatch.probes.wire.requests import MAX_CONNECTIONS, MAX_OPEN, RequestCapture
from perfwatch.probes.wire.segments import ACK, Endpoint, Segment

pytestmark = NEEDS_PACKETS

ANSWERS = """
import socket, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1])
while True:
    connection = server.accept()[0]
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := connection.recv(65536):
        if b"upgrade" in data:
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\n\\r\\n")
        elif b"100-continue" in data:
            connection.sendall(b"HTTP/1.1 100 Continue\\r\\n\\r\\n")
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 201 Created\\r\\nContent-Length: 0\\r\\n\\r\\n")
        elif b"hang up" in data:
            break
        elif b"early" in data:
            answer = b"HTTP/1.1 102 Processing\\r\\n\\r\\nHTTP/1.1 204 No Content\\r\\n\\r\\n"
            connection.sendall(answer)
        elif b"pause" in data:
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\no")
            time.sleep(0.3)
            connection.sendall(b"k")
        else:
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    connection.close()
"""


class Watching:
    """A capture, the newest word on each request, and what is open."""

    def __init__(self, capture):
        self._capture = capture
        self.finished, self.open, self.lost = {}, (), 0

    def read(self):
        captured = self._capture.read(time.monotonic_ns())
        self.finished |= {request.id: request for request in captured.finished}
        self.open, self.lost, self.followed = captured.open, self.lost + captured.lost, captured.followed
        return list(self.finished.values())

    def until(self, condition):
        until(lambda: condition(self.read()), pause_s=0.01, told=lambda: self.open)
        return list(self.finished.values())


@pytest.fixture(scope="module")
def gunicorn():
    environment = {"PYTHONPATH": str(Path(__file__).parent)}
    with serving.gunicorn("wire_app:app", environment=environment) as server:
        yield server


@pytest.fixture
def watched(gunicorn):
    with capturing(gunicorn.address) as capture:
        yield Watching(capture)


def capturing(address):
    port = int(address.rpartition(":")[2])
    return RequestCapture(os.getpid(), lambda: [port])


def call(address, *calls):
    """Make calls on one connection; return for each what is known of it here."""
    connection = Connection(address, 10)
    try:
        return [asked(connection, one) for one in calls]
    finally:
        connection.close()


def asked(connection, one):
    waited_ns = waited_for_cpu_ns()
    answer = connection.request(one)
    host, port = connection._socket.getsockname()
    return Asked(f"{host}:{port}", one, answer, waited_for_cpu_ns() - waited_ns)


class Asked(NamedTuple):
    """One request by its client's log."""

    address: str
    call: Call
    answer: Answer
    waited_ns: int
    """For a CPU meanwhile: the client's clock stops when it has one, the packet's does not."""

    def longer_ns(self, request):
        """How much longer it took by the client's clock, beyond what waiting for a CPU explains."""
        latency_ns = self.answer.end_ns - self.answer.start_ns
        assert latency_ns > request.ended_ns - request.arrived_ns
        return latency_ns - (request.ended_ns - request.arrived_ns) - self.waited_ns


def exchange(port, *pieces, pause_s=0.0):
    """Send pieces and read an answer after each."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
            client.recv(65536)
            time.sleep(pause_s)


@pytest.mark.flaky(reruns=2)
def test_requests_under_load_are_those_of_the_clients_log(gunicorn, watched):
    paths = ["/sleep/2", "/sleep/20?secret=1", "/status/404", "/status/503", "/big/300000", "/echo/a%20b"]
    calls = [[Call(path) for path in (paths[number:] + paths[:number]) * 5] for number in range(6)]
    log = []
    threads = [threading.Thread(target=lambda mine=mine: log.extend(call(gunicorn.address, *mine))) for mine in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = watched.until(lambda found: len(found) == len(log))
    assert watched.lost == 0
    assert {request.connection for request in found} == set(range(1, 7))
    longer_ns = []
    order = {request.remote: index for index, request in enumerate(found)}
    log.sort(key=lambda entry: order[entry.address])
    found.sort(key=lambda request: (order[request.remote], request.arrived_ns))
    for request, entry in zip(found, log, strict=True):
        answer = entry.answer
        assert (request.remote, request.method, request.status) == (entry.address, "GET", answer.status)
        assert (request.target, request.outcome) == (entry.call.path.partition("?")[0], "answered")
        assert answer.start_ns <= request.arrived_ns <= request.ended_ns <= answer.end_ns
        longer_ns.append(entry.longer_ns(request))
    assert statistics.median(longer_ns) < 2_000_000, sorted(longer_ns)  # six clients wait for one interpreter lock


def test_a_latency_is_the_clients(gunicorn, watched):
    log = call(gunicorn.address, *[Call("/sleep/30")] * 10)
    found = watched.until(lambda found: len(found) == 10)
    longer_ns = [entry.longer_ns(request) for request, entry in zip(found, log, strict=True)]
    assert sum(longer < 1_000_000 for longer in longer_ns) >= 8, longer_ns


def test_large_bodies_are_counted_by_their_bytes(gunicorn, watched):
    body = bytes(3_000_000)
    call(gunicorn.address, Call("/echo", "POST", body), Call("/big/5000000"))
    posted, fetched = watched.until(lambda found: len(found) == 2)
    assert (posted.method, posted.target, posted.status) == ("POST", "/echo", 200)
    assert 3_000_000 < posted.received_bytes < 3_000_200
    assert 3_000_000 < posted.sent_bytes < 3_000_300
    assert fetched.received_bytes < 200
    assert 5_000_000 < fetched.sent_bytes < 5_000_300
    assert watched.lost == 0


def test_a_streamed_answer_ends_with_its_last_piece(gunicorn, watched):
    (entry,) = call(gunicorn.address, Call("/stream/8"))
    (request,) = watched.until(lambda found: found)
    assert request.status == 200
    assert request.ended_ns - request.arrived_ns > 200_000_000
    assert entry.longer_ns(request) < 5_000_000


def test_an_answer_with_pauses_is_told_provisionally_and_corrected():
    with script(ANSWERS) as (_, port), capturing(f":{port}") as capture:
        watched = Watching(capture)
        thread = threading.Thread(target=lambda: exchange(int(port), b"GET /pause HTTP/1.1\r\n\r\n", pause_s=0.5))
        thread.start()
        (first,) = watched.until(lambda found: found)
        (corrected,) = watched.until(lambda found: found[0].sent_bytes > first.sent_bytes)
        thread.join()
    assert corrected.id == first.id
    assert corrected.arrived_ns == first.arrived_ns
    assert 250_000_000 < corrected.ended_ns - first.ended_ns < 600_000_000


def test_a_request_that_waits_is_open(gunicorn, watched):
    thread = threading.Thread(target=lambda: call(gunicorn.address, Call("/sleep/400?x=1")))
    began_ns = time.monotonic_ns()
    thread.start()
    watched.until(lambda _: watched.open)
    (request,) = watched.open
    assert (request.method, request.target, request.status) == ("GET", "/sleep/400", None)
    assert (request.ended_ns, request.outcome) == (None, None)
    assert began_ns < request.arrived_ns < time.monotonic_ns()
    (finished,) = watched.until(lambda found: found)
    assert finished.id == request.id
    assert not watched.open
    thread.join()


def test_connections_that_close_after_each_answer():
    with serving.gunicorn("plain:app", worker_class="sync") as server, capturing(server.address) as capture:
        watched = Watching(capture)
        for number in range(20):
            assert serving.get(server.address, f"/item/{number}")[0] == 200
        found = watched.until(lambda found: len(found) == 20)
        assert [request.target for request in found] == [f"/item/{number}" for number in range(20)]
        assert len({request.connection for request in found}) == 20


def test_interim_answers_upgrades_and_connections_without_an_answer():
    with script(ANSWERS) as (_, port), capturing(f":{port}") as capture:
        watched, number = Watching(capture), int(port)
        exchange(number, b"PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n", b"body")
        exchange(number, b"GET /b?early HTTP/1.1\r\n\r\n")
        exchange(number, b"GET /c HTTP/1.1\r\nupgrade\r\n\r\n", b"GET /not-http HTTP/1.1\r\n\r\n")
        exchange(number, b"GET /d HTTP/1.1\r\nhang up\r\n\r\n")
        exchange(number, b"\x16\x03\x01 not HTTP", b"GET key\r\n", b"PRI * HTTP/2.0\r\n\r\n")
        found = watched.until(lambda found: len(found) == 4)
    assert [(one.method, one.target, one.status, one.outcome) for one in found] == [
        ("PUT", "/a", 201, "answered"),
        ("GET", "/b", 204, "answered"),
        ("GET", "/c", 101, "answered"),
        ("GET", "/d", None, "aborted"),
    ]
    assert found[0].received_bytes == len(b"PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody")
    assert watched.lost == 0


def test_pipelined_requests_are_given_up_rather_than_told_wrongly(gunicorn, watched):
    host, port = gunicorn.address.split(":")
    with socket.create_connection((host, int(port))) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in (100, 1, 2):
            client.sendall(b"GET /sleep/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number)
        while client.recv(65536).count(b"HTTP/1.1") == 0:
            pass
    watched.until(lambda _: watched.lost == 1)
    assert watched.read() == []
    assert watched.open == ()


def test_what_was_dropped_is_counted_and_nothing_is_told_wrongly():
    """A reader that sleeps: the ring runs over; later requests are told again."""
    with script(ANSWERS) as (_, port), capturing(f":{port}") as capture:
        watched = Watching(capture)
        client = http.client.HTTPConnection("127.0.0.1", int(port))
        for number in range(1500):
            client.request("GET", f"/{number}")
            client.getresponse().read()
        found = watched.until(lambda found: len(found) > 900)
        assert watched.lost > 0
        for number in range(1500, 1600):
            client.request("GET", f"/{number}")
            client.getresponse().read()
        client.close()
        found = watched.until(lambda found: found[-1].target == "/1599")
        assert all(request.status == 200 and request.sent_bytes == 40 for request in found)
        assert len({request.target for request in found}) == len(found)


def test_an_answer_whose_end_was_missed_is_not_told():
    """By what the other end acknowledges: segments that are fed by hand, with one left out."""
    ask, answer = b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"
    client, web = Endpoint(b"\x0a\0\0\1", 40000), Endpoint(b"\x0a\0\0\2", 80)

    def told(*segments):
        exchanges = Exchanges(1, web, client, iter(range(100)))
        for at_ns, (from_client, sequence, acknowledged, payload) in enumerate(segments):
            ends = (client, web) if from_client else (web, client)
            segment = Segment(*ends, sequence, acknowledged, ACK, len(payload), payload)
            exchanges.take(segment, at_ns, from_client=from_client)
        exchanges.settle(10**9)
        finished, lost = exchanges.drain()
        return [request.id for request in finished], lost

    first, reply = (True, 100, 500, ask), (False, 500, 118, answer)
    more, second, last = (False, 519, 118, b"more"), (True, 118, 523, ask), (False, 523, 136, answer)
    assert told(first, reply, more, second, last) == ([0, 1], 0)
    assert told(first, reply, second, last) == ([1], 1)  # the end of the first answer is not known
    assert told(first, reply, more, last) == ([], 1)  # the last answer is not the first request's
    assert told(first, more, second, last) == ([1], 1)  # without its begin
    assert told(first, reply, more, second) == ([0], 0)
    assert told(first, reply, reply, more, reply, second, more, last) == ([0, 1], 0)  # sent again
    assert told(first, more, reply, second, last) == ([0, 1], 0)  # in another order
    assert told(first, more) == ([], 1)


def test_a_flood_of_connections_is_bounded_and_counted():
    capture = RequestCapture(os.getpid(), lambda: [80])
    ask = b"GET / HTTP/1.1\r\n\r\n"
    for number in range(2 * MAX_CONNECTIONS):
        data = struct.pack("!BxH2xHxB2x4s4s", 0x45, 40 + len(ask), 0, 6, number.to_bytes(4, "big"), b"\x0a\0\0\2")
        data += struct.pack("!HHIIBB6x", 1024, 80, 0, 0, 0x50, ACK) + ask
        capture._take(Packet(number, 1, "in", len(data), data))
    captured = capture.read(2 * MAX_CONNECTIONS)
    assert len(capture._connections) == len(capture._waiting) == MAX_CONNECTIONS
    assert (captured.lost, len(captured.open), captured.finished) == (MAX_CONNECTIONS, MAX_OPEN, ())
    assert captured.open[0].arrived_ns == MAX_CONNECTIONS


def test_ports_may_change_while_it_runs():
    ports = []
    with script(ANSWERS) as (_, port), RequestCapture(os.getpid(), lambda: ports) as capture:
        watched = Watching(capture)
        exchange(int(port), b"GET /before HTTP/1.1\r\n\r\n")
        assert watched.read() == []
        ports.append(int(port))
        watched.read()
        exchange(int(port), b"GET /after HTTP/1.1\r\n\r\n")
        (request,) = watched.until(lambda found: found)
        assert request.target == "/after"


def _refused():
    try:
        with RequestCapture(os.getpid(), lambda: [80]):
            return "opened"
    except Unavailable as error:
        return f"{error.reason}|{error.remedy}"


def test_another_user_is_told_what_is_missing():
    import scapy.arch.linux  # noqa: F401 - nobody may not read the interpreter's files

    assert "CAP_NET_RAW" in as_nobody(_refused)


def test_nothing_is_left_behind():
    sockets, numbers = packet_sockets(), descriptors()
    with capturing(":80") as capture:
        capture.read(time.monotonic_ns())
        assert len(packet_sockets() - sockets) == 1
    assert packet_sockets() <= sockets
    assert descriptors() == numbers
