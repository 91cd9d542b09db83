"""Method, path and status of requests over TLS, read where servers call OpenSSL: each that of its own connection."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from cornering import (
    TLS_VERSIONS,
    Client,
    agree,
    ask_in_turn,
    context_of,
    latency_of,
    over_tls,
    request,
)
from ledgering import attached, requests_of, script
from pythons import EACH_AT_LENGTH
from serving import addresses, running

from perfwatch.agent.target import interpreter_of
from perfwatch.probes.ledger import cleartext
from perfwatch.probes.ledger.cleartext import ClearText
from perfwatch.probes.ledger.probe import LedgerProbe
from perfwatch.probes.readers import uprobes
from perfwatch.probes.readers.openssl import Library, Site
from perfwatch.probes.records import Loss

UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
UPGRADE += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
FRAME = b"\x82\x85\0\0\0\0GET /"
CLIENTS = 12
TIMER_NS = 1_500_000
"""uvloop's timers may go off so early."""


@pytest.mark.ledger
def test_a_request_has_its_line_and_its_status(server, context):
    name, pid, address = server
    with attached(pid) as ledger:
        exchanges, _ = ask_in_turn(name, address, context)
        served = ledger.served(len(exchanges))
    agree(served, exchanges)
    assert {(each.protocol, each.method, each.status) for each in served} == {("tls", "GET", 200)}


@pytest.mark.ledger
def test_many_connections_at_once_are_not_confused(server, context):
    name, pid, address = server
    exchanges = []

    def ask(number):
        for turn in range(4):
            with Client(address, context) as client:
                exchanges.append(client.ask(f"/sleep/{20 + (7 * number + turn) % 30}?", method="GET"))
                if name != "gunicorn-sync":
                    exchanges.append(client.ask(f"/client/{number}/{turn}"))

    with attached(pid) as ledger:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        served = ledger.served(len(exchanges))
    assert sorted(each.target for each in served) == sorted(each.target.rstrip("?") for each in exchanges)
    assert all(sum(each.booked_ns) == pytest.approx(latency_of(each), rel=0.02, abs=1e5) for each in served)
    if name.startswith("gunicorn"):  # who shakes hands with the next client is no event loop
        assert {each.threads for each in served} == {"one"}
    slept = [each for each in served if each.target.startswith("/sleep/")]
    assert all(latency_of(each) >= int(each.target[7:]) * 1e6 - TIMER_NS for each in slept)


@pytest.mark.ledger
def test_streams_of_events_and_websockets(server, context):
    name, pid, address = server
    with attached(pid) as ledger:
        with Client(address, context) as client:
            client.ask("/events")
        if name.startswith("uvicorn"):
            with Client(address, context) as client:
                client.answer("/ws", client.send(request("/ws", headers=UPGRADE)))
                for _ in range(3):
                    client.send(FRAME)
                    assert client._more()
        with Client(address, context) as client:
            client.ask("/ok")
        ledger.until(lambda records: any(each.target == "/ok" for each in requests_of(records)))
        served = requests_of(ledger.records)
    expected = {"/events": 200, "/ok": 200} | ({"/ws": 101} if name.startswith("uvicorn") else {})
    assert {each.target: each.status for each in served} == expected
    assert len(served) == len(expected)
    assert latency_of(next(each for each in served if each.target == "/events")) < 250e6


@pytest.mark.ledger
def test_http_2_and_http_1_are_read_side_by_side(both):
    with addresses() as address:
        command = [sys.executable, "-m", "hypercorn", "corners:asgi", "--bind", address]
        command += ["--certfile", both, "--keyfile", both]
        with running(command, address, answers=False) as server, attached(server.pid) as ledger:
            curled = ["curl", "-sk", "--http2", f"https://{address}/ok", f"https://{address}/sleep/10"]
            curled += ["-w", "%{http_version}"]
            assert subprocess.run(curled, capture_output=True, check=True, timeout=20).stdout == b"ok2ok2"
            curled[2] = "--http1.1"
            assert subprocess.run(curled, capture_output=True, check=True, timeout=20).stdout == b"ok1.1ok1.1"
            served = ledger.served(4)
    told = sorted((each.protocol, each.target, each.status) for each in served)
    assert told == [(protocol, path, 200) for protocol in ("http/2", "tls") for path in ("/ok", "/sleep/10")]


@pytest.mark.ledger
def test_a_process_that_loads_openssl_later_is_looked_at_again(both, monkeypatch):
    monkeypatch.setattr(cleartext, "LOOK_NS", 100_000_000)
    looked = []
    found = cleartext.find_openssl
    monkeypatch.setattr(
        cleartext, "find_openssl", lambda proc, pid: looked.append(pid) or (found(proc, pid) if len(looked) > 1 else [])
    )
    with over_tls("gunicorn-sync", both) as server, attached(server.pid) as ledger:
        end = time.monotonic() + 20
        while not any(each.target == "/ok" for each in requests_of(ledger.records)):
            assert time.monotonic() < end
            with Client(server.address, context_of("1.3")) as client:
                client.ask("/ok")
            ledger.until(requests_of)


STREAMS = """
import asyncio, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
async def serve(reader, writer):
    while await reader.readline():
        while (await reader.readline()).strip():
            pass
        await asyncio.sleep(0.01)
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        await writer.drain()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
BLOCKING = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    with context.wrap_socket(listener.accept()[0], server_side=True) as client:
        while client.recv(10000):
            client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
"""


@pytest.mark.ledger
@EACH_AT_LENGTH
@pytest.mark.parametrize("source", [STREAMS, BLOCKING], ids=["memory", "socket"])
def test_each_python_reads_and_writes_in_its_own_way(python, source, both):
    with script(source, python=python, arguments=[both]) as (process, port), attached(process.pid) as ledger:
        for version in TLS_VERSIONS:
            with Client(f"127.0.0.1:{port}", context_of(version)) as client:
                for number in range(3):
                    client.ask(f"/{version}/{number}")
        served = ledger.served(6)
        losses = [each for each in ledger.records if isinstance(each, Loss)]
    lines = [(each.method, each.target, each.status) for each in served]
    assert lines == [("GET", f"/{version}/{number}", 200) for version in TLS_VERSIONS for number in range(3)]
    assert losses == []


class FakeBpf:
    """Counts links; every process has called OpenSSL as often as it says."""

    def __init__(self, refusal=None):
        self.calls, self.refusal, self.attached = {}, refusal, []

    def map(self, *_):
        return self

    def put(self, key, value):
        self.calls[key] = value

    def get(self, key):
        return self.calls.get(key)

    def delete(self, key):
        self.calls.pop(key, None)

    def attach_uprobe(self, program, probe):
        if self.refusal:
            raise self.refusal
        self.attached.append((program, probe.offset, probe.is_return))
        return os.open("/dev/null", os.O_RDONLY)


@pytest.fixture(name="library")
def find_library(monkeypatch):
    def find(_proc, _pid):
        return [
            Library(
                "/lib/libssl.so.3", "1-2", (Site("read_ex", 16, is_stepped=False), Site("write", 32, is_stepped=False))
            )
        ]

    monkeypatch.setattr(cleartext, "find_openssl", find)
    monkeypatch.setattr(cleartext, "open_mapped", lambda *_: os.open("/dev/null", os.O_RDONLY))
    monkeypatch.setattr(uprobes, "are_possible", lambda: True)


@pytest.mark.usefixtures("library")
def test_probes_that_cost_too_much_are_taken_away_and_that_is_said():
    bpf = FakeBpf()
    clear = ClearText(bpf)
    clear.open()
    clear.watch(1)
    assert bpf.attached == [("on_ssl_read_ex", 16, False), ("on_ssl_read_done", 16, True), ("on_ssl_write", 32, False)]
    clear.drop_dear(2_000_000_000)
    bpf.calls[(1).to_bytes(4, "little")] = (10_000).to_bytes(8, "little")
    clear.drop_dear(3_100_000_000)
    assert clear.pids == {1}
    bpf.calls[(1).to_bytes(4, "little")] = (25_000).to_bytes(8, "little")
    clear.drop_dear(4_200_000_000)
    assert clear.pids == frozenset()
    (reason,) = clear.reasons()
    assert "too often" in reason
    clear.miss(1, 10_000_000_000)
    assert clear.pids == frozenset()
    assert clear.reasons() == []


@pytest.mark.usefixtures("library")
def test_a_kernel_that_refuses_is_quoted_once():
    clear = ClearText(FakeBpf(PermissionError(1, "Operation not permitted")))
    clear.open()
    clear.watch(os.getpid())
    (reason,) = clear.reasons()
    assert "Operation not permitted" in reason
    clear.miss(os.getpid(), 1)
    assert clear.reasons() == []


@pytest.mark.ledger
def test_a_kernel_without_such_uprobes_is_told_beforehand(monkeypatch):
    monkeypatch.setattr(uprobes, "are_possible", lambda: False)
    found = LedgerProbe(os.getpid(), interpreter_of).availability()
    assert (found.status, "TLS" in found.lost, "6.6" in found.reason) == ("limited", True, True)
