"""Secrets planted into a real server's traffic, names and files, and the recording that was made of it meanwhile.

Each is a word that stands nowhere else, so that what leaks is found wherever it stands, and named.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import serving
from calling import accepting
from recording import PERFWATCH, SPARE_S
from waiting import until

from perfwatch.examples.starting import free_port

APP = Path(__file__).parent / "faults" / "apps" / "secretive.py"
NEVER = {
    *("zqquery", "zqheader", "zqbody", "zqcookie", "zqanswer", "zqenvironment"),
    *("zqliteral", "zqcomment", "zqupstreamquery", "zqpassword"),
}
"""In no file, redacted or not."""
NAMED = {
    *("zqpathtoken", "zqmary", "zqfolder", "zqdatafile", "zqsocket", "zqthread", "zqowner", "zqhostname", "zqupstream"),
}
"""What a recording may name, and a redacted one not."""
MARK = re.compile("|".join(NEVER | NAMED))
SQL = "SELECT name /* zqcomment */ FROM customers WHERE mail = 'zqliteral@example.org' -- zqcomment\n AND id = 7"
ASKED = {
    "sql": SQL,
    "answer": "zqanswer",
    "cookie": "zqcookie",
    "upstream": "/account/zqupstream-9?key=zqupstreamquery",
}
WAIT_S = 0.06


@dataclass(frozen=True)
class Planted:
    """A recording that is finished, and copies of it from the time when it was not."""

    file: Path
    live: Path
    """With its siblings."""
    address: str
    """Of this host, which the server called as its database: as telling as a name."""


@contextlib.contextmanager
def planted(folder):
    """Record a server that is full of secrets, under load."""
    home = folder / "zqfolder"
    home.mkdir()
    shutil.copy(APP, home / "orders.py")
    upstream = home / "zqsocket.sock"
    address = own_address()
    with listening(address, database) as at, listening(str(upstream), web) as _:
        port = free_port()
        told = [
            port,
            at,
            upstream,
            home / "zqdatafile.db",
            "zqthread",
            "--owner",
            "zqowner",
            "--password",
            "zqpassword",
        ]
        command = [sys.executable, "orders.py", *told]
        with serving.running(command, f"127.0.0.1:{port}", environment={"API": "zqenvironment"}, cwd=home) as server:
            yield recorded(folder, server, address)


def recorded(folder, server, address):
    """Record for some seconds, in a UTS namespace of its own where the host has a telling name."""
    file, live = folder / "record", folder / "live"
    live.mkdir()
    command = ["unshare", "--uts", "sh", "-c", 'hostname zqhostname && exec "$0" "$@"', PERFWATCH]
    command += ["record", "--pid", server.pid, "--slow-ms", 50, "-o", file]
    log = (folder / "log").open("wb")
    process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)
    try:
        until(file.exists, pause_s=0.05)
        ask(server.address, 5)
        for part in folder.glob("record*"):
            shutil.copy(part, live / part.name)
        process.send_signal(signal.SIGINT)
        assert process.wait(SPARE_S) == 0, (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()
        log.close()
    return Planted(file, live / "record", address)


def ask(address, seconds):
    """Ask as long as that: orders whose paths, queries, headers and bodies are secrets, and quick pages."""
    host, _, port = address.rpartition(":")
    body = json.dumps(ASKED | {"note": "zqbody"}).encode()
    ends = time.monotonic() + seconds
    number = 0
    with socket.create_connection((host, int(port)), SPARE_S) as client:
        while time.monotonic() < ends:
            number += 1
            for path in (f"/orders/zqpathtoken-{number:08}?token=zqquery", "/people/zqmary"):
                head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Key: zqheader\r\nCookie: id=zqcookie\r\n"
                exchange(client, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            exchange(client, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")


def exchange(client, request):
    client.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer or not answer.endswith((b"ok", b"}")):
        piece = client.recv(65536)
        assert piece, answer
        answer += piece


@contextlib.contextmanager
def listening(where, serve):
    """Serve each connection in a thread: at a path, or at a free port of an address."""
    if where.startswith("/"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(where)
        listener.listen()
        at = where
    else:
        listener = socket.create_server((where, 0))
        at = f"{where}:{listener.getsockname()[1]}"
    with accepting(listener, serve):
        yield at


def database(client):
    """Speak as much PostgreSQL as a simple query needs."""
    ready = b"Z\0\0\0\5I"
    with client, contextlib.suppress(OSError):
        client.recv(4096)
        client.sendall(b"R\0\0\0\x08\0\0\0\0" + ready)
        while client.recv(4096):
            time.sleep(WAIT_S)
            client.sendall(b"C\0\0\0\rSELECT 0\0" + ready)


def web(client):
    """Answer one request of HTTP."""
    with client, contextlib.suppress(OSError):
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def own_address():
    """Return an address of this host that is not the loopback's; without one, the loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return one.getsockname()[0]


def leaked(*texts):
    """Return which of the secrets stand in texts, or bytes."""
    found = set()
    for text in texts:
        found.update(MARK.findall((text.decode("utf-8", "replace") if isinstance(text, bytes) else text).lower()))
    return found
