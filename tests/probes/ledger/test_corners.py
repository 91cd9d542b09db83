"""What HTTP/1 allows and few clients do, on real servers: each request counted once, with its client's own latency."""

from __future__ import annotations

import socket
import time

import pytest
from cornering import LOOPS, SERVERS, THREADED, Client, agree, is_near, latency_of, request
from ledgering import attached, booked, requests_of

from perfwatch.probes.ledger import events as ev
from perfwatch.probes.records import InFlight, Loss

pytestmark = pytest.mark.ledger
KEEPING = sorted(SERVERS.keys() - {"gunicorn-sync"})
"""Servers that keep a connection for the next request."""
RESET = b"\1\0\0\0\0\0\0\0"
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
UPGRADE += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
FRAME = b"\x82\x85\0\0\0\0GET /"


OFTEN = ("gunicorn-gthread", "uvicorn-httptools")
ALL = [pytest.param(name, marks=() if name in OFTEN else pytest.mark.slow) for name in sorted(SERVERS)]


@pytest.fixture(name="server", params=ALL, scope="module")
def start_server(request):
    with SERVERS[request.param]() as server:
        yield request.param, server


@pytest.fixture(name="seen")
def watch(server):
    """Yield the server's address, and what returns all requests so far but for one that it sends itself."""
    _, running = server
    with attached(running.pid) as ledger:

        def seen():
            with Client(running.address) as client:
                client.ask("/ok?fence", headers="Connection: close\r\n")
            before = len(requests_of(ledger.records))
            ledger.until(lambda records: any(is_fence(each) for each in requests_of(records)[before:]))
            ledger.until(lambda _: is_all_told(ledger.probe))
            return [each for each in requests_of(ledger.records) if not is_fence(each)]

        seen.ledger = ledger
        seen.address = running.address
        yield seen


def is_all_told(probe):
    """Whether each answered request was told: some are when their server closes the connection, or after a while."""
    stages = [ev.parse_stage(data) for _, data in probe._requests.entries()]
    answered = [each for each in stages if each.flags & ev.ANSWERED and not each.flags & ev.FINAL]
    return all(map(probe._assembler.is_told, answered))


def is_fence(served):
    return served.received_bytes == len(request("/ok?fence", headers="Connection: close\r\n"))


def only(server, names):
    if server[0] not in names:
        pytest.skip("another kind of server does this differently")


@pytest.mark.parametrize("pause_s", [None, 0.005], ids=["at-once", "one-by-one"])
def test_pipelined_requests_are_one_each(server, seen, pause_s):
    """What a server reads in one piece is taken to have arrived at once: a worker of gunicorn reads late."""
    only(server, KEEPING if pause_s is None else LOOPS)
    targets = ["/sleep/20", "/sleep/30", "/ok"]
    with Client(seen.address) as client:
        if pause_s is None:
            sent = [client.send(b"".join(map(request, targets)))] * len(targets)
        else:
            sent = []
            for target in targets:
                sent.append(client.send(request(target)))
                time.sleep(pause_s)  # so that it is a read of its own
        exchanges = [client.answer(target, since) for target, since in zip(targets, sent, strict=True)]
    served = seen()
    agree(served, exchanges)
    first, second, third = sorted(served, key=lambda each: each.ended_ns)
    assert booked(third)["queue"] == pytest.approx((second.ended_ns - third.arrived_ns) / 1e6, rel=0.02)
    assert second.started_ns == first.ended_ns


def test_a_ledger_of_a_pipelined_request_is_its_own():
    with SERVERS["gunicorn-gthread"]() as server, attached(server.pid) as ledger:
        with Client(server.address) as client:
            client.send(request("/sleep/40") + request("/sleep/70"))
            for target in ("/sleep/40", "/sleep/70"):
                client.answer(target, 0)
        served = ledger.served(2)
    own = [each for each in served if each.threads == "one"]
    assert own
    for each in own:
        assert sum(each.booked_ns) == latency_of(each)
        assert booked(each)["sleep"] == pytest.approx(int(each.target[-2:]), rel=0.1)


def test_think_time_is_in_no_latency(server, seen):
    only(server, KEEPING)
    exchanges = []
    with Client(seen.address) as client:
        for _ in range(3):
            exchanges.append(client.ask("/sleep/10"))
            time.sleep(0.15)
    agree(seen(), exchanges)


def test_an_upload_in_chunks_is_one_request(seen):
    with Client(seen.address) as client:
        since = client.send(request("/upload", "POST", "Transfer-Encoding: chunked\r\n"))
        for _ in range(3):
            time.sleep(0.11)
            client.send(b"5\r\nGET /\r\n")
        client.send(b"0\r\n\r\n")
        exchange = client.answer("/upload", since)
    assert exchange.body == b"15"
    agree(seen(), [exchange])


def test_a_client_that_asks_before_it_sends_its_body(seen):
    with Client(seen.address) as client:
        since = client.send(request("/upload", "POST", "Expect: 100-continue\r\nContent-Length: 10\r\n"))
        assert client.answer("/upload", since).status == 100
        time.sleep(0.12)
        client.send(b"0123456789")
        exchange = client.answer("/upload", since)
    agree(seen(), [exchange])


def test_an_answer_in_pieces_ends_with_the_last(seen):
    with Client(seen.address) as client:
        exchange = client.ask("/stream")
    (served,) = seen()
    agree([served], [exchange])
    assert latency_of(served) > 440e6


def test_a_stream_of_events_is_answered_when_it_has_begun(server, seen):
    with Client(seen.address) as client:
        exchanges = [client.ask("/events")]
        if server[0] in KEEPING:
            exchanges.append(client.ask("/sleep/10"))
    events, *rest = sorted(seen(), key=lambda each: each.started_ns)
    assert (events.target, events.status, events.outcome) == ("/events", 200, "answered")
    assert latency_of(events) < 250e6 < exchanges[0].latency_ns
    agree(rest, exchanges[1:])


def test_answers_without_a_body(server, seen):
    asked = [("/ok", "HEAD"), ("/empty", "GET"), ("/same", "GET"), ("/ok", "GET")]
    if server[0] in KEEPING:
        with Client(seen.address) as client:
            exchanges = [client.ask(*each) for each in asked]
    else:
        exchanges = []
        for each in asked:
            with Client(seen.address) as client:
                exchanges.append(client.ask(*each))
    served = seen()
    agree(served, exchanges)
    assert [each.method for each in sorted(served, key=lambda each: each.started_ns)] == ["HEAD", "GET", "GET", "GET"]


def test_a_half_closed_client_is_answered_still(server, seen):
    only(server, THREADED)
    with Client(seen.address) as client:
        since = client.send(request("/sleep/50"))
        client.socket.shutdown(socket.SHUT_WR)
        exchange = client.answer("/sleep/50", since)
    (served,) = seen()
    agree([served], [exchange])
    assert served.outcome == "answered"


def test_a_half_closed_client_that_a_loop_hangs_up_on(server, seen):
    only(server, LOOPS)
    with Client(seen.address) as client:
        client.send(request("/sleep/50"))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.socket.recv(100) == b""
    (served,) = seen()
    assert (served.outcome, served.status) == ("aborted", None)


@pytest.mark.parametrize("way", ["close", "reset"])
def test_a_client_that_gives_up_is_counted_once(seen, way):
    with Client(seen.address) as client:
        client.send(request("/sleep/600"))
        seen.ledger.until(lambda records: any(isinstance(each, InFlight) and each.count for each in records))
        if way == "reset":
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    seen.ledger.served(1)
    (served,) = seen()
    assert (served.target, served.status, served.outcome) == ("/sleep/600", None, "aborted")


@pytest.mark.parametrize("way", ["unread", "read"])
def test_a_client_that_gives_up_in_the_middle_of_an_answer(seen, way):
    with Client(seen.address) as client:
        client.send(request("/stream"))
        if way == "read":
            assert client.socket.recv(1000)
            assert client.socket.recv(1000)
        else:
            seen.ledger.until(lambda _: client.socket.recv(1000, socket.MSG_PEEK))
    seen.ledger.served(1)
    (served,) = seen.ledger.until(lambda records: [each for each in requests_of(records) if each.outcome == "aborted"])
    assert (served.target, served.status) == ("/stream", 200)
    assert len(seen()) == 1


def test_a_head_that_comes_byte_by_byte(seen):
    with Client(seen.address) as client:
        since = 0
        for byte in request("/ok"):
            now = client.send(bytes([byte]))
            since = since or now
            time.sleep(0.001)  # so that it is a segment of its own
        exchange = client.answer("/ok", since)
    agree(seen(), [exchange])


def test_frames_after_an_upgrade_are_no_requests(server, seen):
    only(server, [name for name in LOOPS if name.startswith("uvicorn")])
    with Client(seen.address) as client:
        exchange = client.answer("/ws", client.send(request("/ws", headers=UPGRADE)))
        for _ in range(3):
            client.send(FRAME)
            assert client.socket.recv(100)
    agree(seen(), [exchange])


def test_another_protocol_is_said_by_name_and_is_no_request(seen):
    with Client(seen.address) as client:
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\5\6\0\0\0\0\0hello")
        client.socket.recv(1000)
    (loss,) = seen.ledger.until(lambda records: [each for each in records if isinstance(each, Loss)])
    assert "HTTP/2" in loss.reason
    assert seen() == []


def test_what_is_near_is_near_by_share_or_by_time():
    assert is_near(1_900_000, 1_000_000)
    assert is_near(104_000_000, 100_000_000)
    assert not is_near(106_000_000, 100_000_000)
