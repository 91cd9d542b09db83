"""TLS handshakes on the live kernel, against the server's own clock."""

import os
import shutil
import socket
import ssl
import time

import pytest
from wiring import NEEDS_PACKETS, tls_server, watching

pytestmark = [
    NEEDS_PACKETS,
    pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl for a certificate"),
]
HANDSHAKES = 12
TOLERANCE_NS = 1_000_000
"""Beside the server's time on the run queue; for all but one: the host takes this machine's CPUs away now and then."""


@pytest.mark.flaky(reruns=2)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_handshakes_take_as_long_as_the_server_says_and_resumed_ones_are_told(version):
    with tls_server() as server, watching(server.pid) as wire:
        told, session = [], None
        for number in range(HANDSHAKES):
            session = server.connect(version, None if number % 3 == 0 else session)
            told.append(server.told())
        found = {one.peer: one for one in wire.closed(HANDSHAKES)}
    assert len(found) == HANDSHAKES
    differences = []
    for one in told:
        connection = found[f"127.0.0.1:{one.port}"]
        assert (connection.tls_version, connection.resumed, connection.role) == (one.version, one.resumed, "accepted")
        assert connection.opened_ns < connection.closed_ns
        differences.append(one.differs_ns(connection))
    assert {one.resumed for one in told} == {True, False}
    assert sum(difference < TOLERANCE_NS for difference in differences) >= HANDSHAKES - 1, differences


def test_a_handshake_that_fails_has_no_time():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which does not trust the certificate
    with tls_server() as server, watching(server.pid) as wire:
        plain = socket.create_connection(("127.0.0.1", server.port))
        with plain, pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(plain, server_hostname="localhost")
        assert server.told() is None
        (connection,) = wire.closed(1)
    assert (connection.tls_version, connection.resumed, connection.tls_ns) == ("TLSv1.3", False, None)


@pytest.mark.flaky(reruns=2)
def test_a_slow_client_makes_a_long_handshake_at_both_ends():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = context.wrap_bio(incoming, outgoing)
    with (
        tls_server() as server,
        watching(server.pid) as wire,
        watching(os.getpid()) as ours,
        socket.create_connection(("127.0.0.1", server.port)) as plain,
    ):
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        plain.sendall(outgoing.read())
        incoming.write(plain.recv(65536))
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(plain.recv(65536))
        time.sleep(0.1)  # the client takes its time to finish
        plain.sendall(outgoing.read())
        told = server.told()
        (connection,) = wire.until(lambda found: found and found[0].tls_ns)
        (called,) = ours.until(lambda found: found and found[0].tls_ns)
    assert told.took_ns > 100_000_000
    assert told.differs_ns(connection) < TOLERANCE_NS
    assert (called.role, called.local, called.tls_version) == ("connected", connection.peer, connection.tls_version)
    assert abs(called.tls_ns - connection.tls_ns) < TOLERANCE_NS  # the same packets, by two captures
