"""What the tests of the packet probe share: waiting for what was captured, and a TLS server with a clock of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from ledgering import script
from waiting import until

from perfwatch.probes.samples import Connection
from perfwatch.probes.wire.probe import WireProbe

NEEDS_PACKETS = pytest.mark.skipif(os.geteuid() != 0, reason="capturing packets needs root (CAP_NET_RAW)")

TLS_SERVER = """
import json, socket, ssl, sys, time
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1])
def delay():
    return int(open("/proc/thread-self/schedstat").read().split()[1])
while True:
    connection = server.accept()[0]
    waited = delay()
    connection.recv(1, socket.MSG_PEEK)
    began = time.monotonic_ns()
    secured = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
    try:
        secured.do_handshake()
    except OSError:
        print(json.dumps(None))
        secured.close()
        continue
    took = time.monotonic_ns() - began
    waited = delay() - waited
    print(json.dumps([secured.version(), secured.session_reused, took, waited, secured.getpeername()[1]]))
    try:
        secured.recv(1)
        secured.sendall(b"y")
        secured.recv(1)
    except OSError:
        pass
    secured.close()
"""


class Watching:
    """A wire probe, and the newest record of each connection."""

    def __init__(self, probe):
        self.probe = probe
        self.found = {}
        self.others = []

    def read(self):
        """Read once and return all connections so far."""
        for record in self.probe.read(time.monotonic_ns()):
            if isinstance(record, Connection):
                self.found[record.id] = record
            else:
                self.others.append(record)
        return list(self.found.values())

    def until(self, condition):
        """Read until `condition(connections)` is truthy, and return all connections."""
        until(lambda: condition(self.read()), pause_s=0.02, told=lambda: self.found)
        return list(self.found.values())

    def closed(self, count):
        """Wait until so many connections have ended and return all."""
        return self.until(lambda found: sum(one.closed_ns is not None for one in found) >= count)


@contextlib.contextmanager
def watching(*pids):
    """Follow the connections of processes."""
    with WireProbe(lambda: pids) as probe:
        yield Watching(probe)


@dataclass(frozen=True)
class Told:
    """A handshake by the server's own clock."""

    version: str
    resumed: bool
    took_ns: int
    delay_ns: int
    """Since the connection was accepted, on the run queue: its clock was read so much later than the packet came."""
    port: int
    """The client's."""

    def differs_ns(self, connection):
        """How far a record is from the server's clock, beyond what waiting for a CPU explains."""
        return max(abs(connection.tls_ns - self.took_ns) - self.delay_ns, 0)


class TlsServer:
    """A TLS server in a process of its own, and a client of it."""

    def __init__(self, process, port):
        self.pid, self.port = process.pid, port
        self._process = process
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # one: sessions belong to it
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE

    def told(self):
        """Return what the server says of its next handshake; None of one that failed."""
        line = json.loads(self._process.stdout.readline())
        return None if line is None else Told(*line)

    def connect(self, version, session=None):
        """Shake hands, exchange a byte, and close; return the session."""
        self._context.minimum_version = self._context.maximum_version = version
        plain = socket.create_connection(("127.0.0.1", self.port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._context.wrap_socket(plain, session=session) as secured:
            secured.sendall(b"x")
            secured.recv(1)
            return secured.session


@contextlib.contextmanager
def tls_server():
    """Run a TLS server with a certificate of its own."""
    with tempfile.TemporaryDirectory(prefix="perfwatch-tls-") as directory:
        certificate, key = Path(directory) / "certificate", Path(directory) / "key"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        with script(TLS_SERVER, arguments=(certificate, key)) as (process, port):
            yield TlsServer(process, int(port))


def packet_sockets():
    """Return the inodes of the packet sockets that this process has open or mapped."""
    packets = {line.split()[-1] for line in Path("/proc/net/packet").read_text().splitlines()[1:]}
    links = "\n".join(str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    held = re.findall(r"socket:\[(\d+)\]", links + Path("/proc/self/maps").read_text())
    return packets & set(held)
