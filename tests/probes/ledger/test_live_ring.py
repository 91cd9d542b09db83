"""A real ring buffer: every request is told once, and in order, whoever reads it."""

import http.client
import platform

import pytest
from ledgering import attached, requests_of, script

from perfwatch.probes.readers import libbpf, ring
from perfwatch.probes.records import Loss

pytestmark = pytest.mark.ledger

SERVER = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1])
client, _ = listener.accept()
while data := client.recv(65536):
    client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
"""
COUNT = 300
BATCH = 50


@pytest.mark.parametrize("reader", ["mapped", "called"])
def test_each_request_is_told_once(reader, monkeypatch):
    if reader == "called":
        monkeypatch.setattr(libbpf, "MACHINES", frozenset())
    elif platform.machine() not in ring.MACHINES:
        pytest.skip("is read by libbpf here")
    with script(SERVER) as (process, port), attached(process.pid) as seen:
        connection = http.client.HTTPConnection("127.0.0.1", int(port))
        for number in range(COUNT):
            connection.request("GET", f"/{number}")
            assert connection.getresponse().read() == b"ok"
            if number % BATCH == 0:
                seen.records += seen.probe.read(0)
        connection.close()
        served = seen.served(COUNT)
    assert [request.target for request in served] == [f"/{number}" for number in range(COUNT)]
    assert not [record for record in seen.records if isinstance(record, Loss)]
    assert len(requests_of(seen.records)) == COUNT
