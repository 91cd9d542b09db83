"""Services that faulty servers call: Redis, and web services with and without TLS; see `surroundings`."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile

import pytest
import serving

from perfwatch.examples.starting import await_listening, end_group, free_port

KEY_BITS = 4096
"""A handshake then costs the server some milliseconds, as one over a network would cost round trips."""


@contextlib.contextmanager
def redis():
    """Run a Redis of our own that keeps nothing on disk."""
    if not shutil.which("redis-server"):
        pytest.skip("needs redis-server")
    with tempfile.TemporaryDirectory(prefix="perfwatch-redis-") as directory:
        port = free_port()
        command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        with _listening(command, port):
            yield {"FAULTY_REDIS": f"redis://127.0.0.1:{port}", "REDIS": str(port)}


@contextlib.contextmanager
def web():
    """Run the web service that is awaited, and another one that is called while the loop stands still."""
    with _web() as awaited, _web() as next_door:
        yield {"FAULTY_WEB": f"127.0.0.1:{awaited}", "FAULTY_NEXT_DOOR": f"127.0.0.1:{next_door}"}


@contextlib.contextmanager
def secure_web():
    """Run the web service behind TLS, with a certificate of its own."""
    with tempfile.TemporaryDirectory(prefix="perfwatch-tls-") as directory:
        certificate, key = f"{directory}/certificate.pem", f"{directory}/key.pem"
        command = ["openssl", "req", "-x509", "-newkey", f"rsa:{KEY_BITS}", "-nodes", "-days", "2"]
        command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run([*command, "-out", certificate, "-keyout", key], check=True, capture_output=True)
        with _web(certificate, key) as port:
            yield {"FAULTY_SECURE_WEB": f"127.0.0.1:{port}", "FAULTY_AUTHORITY": certificate}


def _web(*secured):
    return _script("web_peer.py", *secured)


@contextlib.contextmanager
def _script(name, *arguments):
    port = free_port()
    with _listening([sys.executable, serving.APPS / name, port, *arguments], port):
        yield port


@contextlib.contextmanager
def _listening(command, port):
    process = subprocess.Popen([str(part) for part in command], start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        await_listening(process, f"127.0.0.1:{port}", serving.READY_S)
        yield
    finally:
        end_group(process)
