"""Real servers for tests: each a process group of its own, on a free loopback port or a Unix socket.

Every context manager starts one, waits until it answers, and ends it with all that it started. `python`
chooses the interpreter; gunicorn, Flask, Django and cheroot are installed for that of the tests alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from perfwatch.examples.http_client import Call, Connection
from perfwatch.examples.starting import NotServing, await_answer, await_listening, end_group, free_port

PRIVATE = "python:perfwatch.examples.gunicorn_private"
APPS = Path(__file__).parent / "faults" / "apps"
READY_S = 30
CALL_S = 10


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    pid: int
    """Of the process that was started: of a prefork server, the master."""
    address: str
    """`127.0.0.1:41763` or `unix:/tmp/x/server.sock`."""
    log: Path


@contextlib.contextmanager
def running(command, address, *, environment=None, cwd=APPS, answers=True):
    """Run a command that serves at an address; everything that it prints goes to the log.

    One that does not answer HTTP in the clear is waited for until it listens.
    """
    with tempfile.TemporaryDirectory(prefix="perfwatch-server-") as directory:
        log = Path(directory) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
                start_new_session=True,
            )
        try:
            if answers:
                await_answer(process, address, "/", READY_S)
            else:
                await_listening(process, address, READY_S)
            yield Server(process.pid, address, log)
        except NotServing as error:
            raise AssertionError(f"{command}: {error}\n{log.read_text(errors='replace')[-2000:]}") from error
        finally:
            end_group(process)


@contextlib.contextmanager
def gunicorn(
    app, *, worker_class="gthread", workers=1, threads=8, unix=False, environment=None, options=(), answers=True
):
    """Run gunicorn; `sync` workers have one thread and close the connection after each answer."""
    with addresses(unix=unix) as address:
        command = [sys.executable, "-m", "gunicorn", "--worker-class", worker_class, "--workers", workers]
        command += ["--threads", threads] if worker_class == "gthread" else []
        command += ["--bind", address, "--keep-alive", 75, "--timeout", 120, "--graceful-timeout", 1]
        command += [
            "--worker-tmp-dir",
            "/dev/shm",
            "--config",
            "python:perfwatch.examples.gunicorn_private",
            *options,
            app,
        ]
        with running(command, address, environment=environment, answers=answers) as server:
            yield server


@contextlib.contextmanager
def http_server(script="faulty.py", *, python=sys.executable, unix=False, environment=None):
    """Run one of the scripts that serve with http.server.ThreadingHTTPServer."""
    with addresses(unix=unix) as address:
        where = address if unix else address.rpartition(":")[2]
        with running([python, script, where], address, environment=environment) as server:
            yield server


@contextlib.contextmanager
def flask():
    """Run Flask's development server, threaded; it closes each connection."""
    with addresses() as address:
        command = [sys.executable, "flask_plain.py", address.rpartition(":")[2]]
        with running(command, address) as server:
            yield server


@contextlib.contextmanager
def django():
    """Run Django's development server, threaded."""
    with addresses() as address:
        command = [sys.executable, "django_plain.py", "runserver", "--noreload", "--skip-checks", address]
        with running(command, address) as server:
            yield server


@contextlib.contextmanager
def cheroot():
    """Run CherryPy's server, eight threads."""
    with addresses() as address:
        command = [sys.executable, "cheroot_plain.py", address.rpartition(":")[2]]
        with running(command, address) as server:
            yield server


@contextlib.contextmanager
def addresses(*, unix=False):
    """Yield an address that is free: a loopback port, or a socket path that goes away with the block."""
    if not unix:
        yield f"127.0.0.1:{free_port()}"
        return
    with tempfile.TemporaryDirectory(prefix="perfwatch-socket-") as directory:
        yield f"unix:{directory}/server.sock"


def get(address, path):
    """Send one GET on a connection of its own; returns status and body."""
    connection = Connection(address, CALL_S)
    try:
        answer = connection.request(Call(path), keep_body=True)
    finally:
        connection.close()
    return answer.status, answer.body


@dataclass(frozen=True)
class Measured:
    """A stretch that the faulty server clocked itself."""

    path: str
    kind: str
    start_ns: int
    end_ns: int
    cpu_ns: int
    run_delay_ns: int
    """On the run queue, by the kernel's schedstat."""
    tid: int

    @property
    def blocked_ns(self):
        """Neither running nor runnable."""
        return self.end_ns - self.start_ns - self.cpu_ns - self.run_delay_ns


def truth(address):
    """Return what the faulty server measured so far, in the order in which the stretches ended."""
    status, body = get(address, "/_truth")
    assert status == 200, body
    return [Measured(*entry) for entry in json.loads(body)]


def interpreters():
    """Return the CPython interpreters of pyenv by version, newest patch of each: `{"3.8": Path(...)}`."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for python in sorted(root.glob("3.*/bin/python")):
        found[".".join(python.parts[-3].split(".")[:2])] = python
    return found
