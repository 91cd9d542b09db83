"""Requests over TLS where only ciphertext is seen: on real servers, by real clients, each counted once."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import time

import pytest
from cornering import (
    TLS_VERSIONS,
    Client,
    ask_in_turn,
    context_of,
    is_near,
    latency_of,
    request,
)
from ledgering import attached, requests_of, script

from perfwatch.probes.readers import uprobes
from perfwatch.probes.records import Loss

pytestmark = pytest.mark.ledger


@pytest.fixture(autouse=True)
def ciphertext_alone(monkeypatch):
    """As on a kernel that has no uprobes for one process."""
    monkeypatch.setattr(uprobes, "are_possible", lambda: False)


def match(served, exchanges):
    """Assert what `agree` does, of requests whose targets nobody saw: in order of time."""
    assert len(served) == len(exchanges)
    for one, other in zip(sorted(served, key=lambda each: each.started_ns), exchanges, strict=True):
        assert (one.protocol, one.outcome) == ("tls", "answered")
        assert (one.method, one.target, one.status) == (None, None, None)
        assert is_near(latency_of(one), other.latency_ns), (one, other)


def settled(ledger, count):
    """Return all requests, when so many were seen and nothing has been in flight or come since for a while."""
    ledger.served(count)
    end = time.monotonic() + 0.4  # more than a request is closed provisionally after, and a scan
    ledger.until(lambda _: time.monotonic() > end)
    return requests_of(ledger.records)


def test_as_many_as_were_sent_with_the_clients_latencies(server, context):
    name, pid, address = server
    with attached(pid) as ledger:
        exchanges, _ = ask_in_turn(name, address, context)
        match(settled(ledger, len(exchanges)), exchanges)


def test_a_session_that_is_resumed(server, context):
    name, pid, address = server
    if name.startswith("gunicorn"):
        pytest.skip("it makes a context for each connection, and resumes none")
    _, first = ask_in_turn(name, address, context)
    with attached(pid) as ledger:
        exchanges, second = ask_in_turn(name, address, context, first.session)
        assert second.session_reused
        match(settled(ledger, len(exchanges)), exchanges)


def test_a_late_first_answer_is_not_taken_to_be_the_tickets(server, context):
    _, pid, address = server
    with attached(pid) as ledger:
        with Client(address, context) as client:
            exchange = client.ask("/sleep/400")
        match(settled(ledger, 1), [exchange])
    assert all(latency_of(each) > 0.3e9 for each in requests_of(ledger.records[:1]))


def test_a_body_in_several_records_is_one_request(server, context):
    _, pid, address = server
    with attached(pid) as ledger:
        with Client(address, context) as client:
            since = client.send(request("/upload", "POST", "Content-Length: 40000\r\n"))
            for _ in range(4):
                time.sleep(0.02)
                client.send(b"x" * 10000)
            exchange = client.answer("/upload", since)
        assert exchange.body == b"40000"
        match(settled(ledger, 1), [exchange])


def test_an_answer_in_pieces(server, context):
    _, pid, address = server
    with attached(pid) as ledger:
        with Client(address, context) as client:
            exchange = client.ask("/stream")
        match(settled(ledger, 1), [exchange])


@pytest.mark.parametrize(
    "suite",
    [
        "TLS_AES_256_GCM_SHA384",
        pytest.param("TLS_AES_128_GCM_SHA256", marks=pytest.mark.slow),
        pytest.param("TLS_CHACHA20_POLY1305_SHA256", marks=pytest.mark.slow),
    ],
)
def test_other_clients(server, suite):
    _, pid, address = server
    options = ["-quiet", "-tls1_3", "-ciphersuites", suite, "-connect", address]
    head = request("/sleep/100", headers="Connection: close\r\n")
    with attached(pid) as ledger:
        asked = subprocess.run(
            ["openssl", "s_client", *options], input=head, capture_output=True, check=False, timeout=20
        )
        assert b"200 OK" in asked.stdout
        curled = ["curl", "-sk", "--http1.1", f"https://{address}/sleep/150", f"https://{address}/sleep/200"]
        assert subprocess.run(curled, capture_output=True, check=True, timeout=20).stdout == b"okok"
        served = settled(ledger, 3)
    assert [round(latency_of(each) / 50e6) for each in sorted(served, key=lambda each: each.started_ns)] == [2, 3, 4]


STRICT = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
SETTING
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    client = listener.accept()[0]
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or the tickets are to be acknowledged first
    with context.wrap_socket(client, server_side=True) as client:
        while client.recv(10000):
            client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
"""
SETTINGS = {
    "another-group": "context.set_ecdh_curve('secp384r1')",  # the client is asked for another key
    "client-certificate": "context.verify_mode = ssl.CERT_REQUIRED; context.load_verify_locations(sys.argv[1])",
    "no-tickets": "context.num_tickets = 0",
}


@pytest.mark.parametrize("setting", sorted(SETTINGS))
@pytest.mark.parametrize("version", sorted(TLS_VERSIONS))
def test_longer_handshakes_are_no_requests(both, setting, version):
    source = STRICT.replace("SETTING", SETTINGS[setting])
    with script(source, arguments=[both]) as (process, port), attached(process.pid) as ledger:
        exchanges = []
        for _ in range(2):
            with Client(f"127.0.0.1:{port}", context_of(version, both=both)) as client:
                exchanges += [client.ask("/x"), client.ask("/y")]
        match(settled(ledger, 4), exchanges)


def test_a_connection_that_is_joined_between_two_requests(server, context):
    name, pid, address = server
    if name == "gunicorn-sync":
        pytest.skip("it closes a connection after each answer")
    with Client(address, context) as client:
        client.ask("/ok")
        with attached(pid) as ledger:
            exchanges = [client.ask("/sleep/20"), client.ask("/sleep/10")]
            match(settled(ledger, 2), exchanges)


def test_handshakes_alone_are_no_requests(server, context):
    _, pid, address = server
    with attached(pid) as ledger:
        for _ in range(3):
            with Client(address, context) as client, contextlib.suppress(ssl.SSLError):
                client.tls.unwrap()
        with Client(address, context) as client:
            exchange = client.ask("/sleep/10")
        match(settled(ledger, 1), [exchange])
        (loss,) = [each for each in ledger.records if isinstance(each, Loss)]
        assert "method and path are unknown" in loss.reason
        assert "6.6" in loss.reason
