"""Servers with perfwatch's middleware in them, and the probe that listens to it, for tests."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil
import serving
from ledgering import Attached

from perfwatch.probes.frames import Span
from perfwatch.probes.spans import SpansProbe

APPS = Path(__file__).parent / "agent" / "middleware" / "apps"
MIDDLEWARE = Path(__file__).parent.parent / "agent" / "middleware"
AWAKE = "/awake"
"""Asked for until the middleware has found the probe, which it looks for once a second; left out of what is heard."""


@contextlib.contextmanager
def gunicorn(python, app, *, threads=4, environment=None):
    """Run gunicorn with one threaded worker."""
    with serving.addresses() as address:
        command = [python, "-m", "gunicorn", "--worker-class", "gthread", "--threads", threads, "--bind", address]
        command += ["--worker-tmp-dir", "/dev/shm", "--graceful-timeout", 1, "--keep-alive", 75, app]
        with serving.running(command, address, environment=_environment(environment), cwd=APPS) as server:
            yield server


@contextlib.contextmanager
def uvicorn(python, app, *, environment=None):
    """Run uvicorn."""
    with serving.addresses() as address:
        port = address.rpartition(":")[2]
        command = [python, "-m", "uvicorn", "--log-level", "warning", "--port", port, app]
        with serving.running(command, address, environment=_environment(environment), cwd=APPS) as server:
            yield server


class Listening(Attached):
    """A probe that listens, and all records that it gave so far."""

    def spans(self, count):
        """Wait for so many spans and return them, in the order in which they came."""
        return self.until(lambda records: len(spans_of(records)) >= count and spans_of(records))


@contextlib.contextmanager
def listening(pid):
    """Listen to a process tree."""
    with SpansProbe(lambda: tree_of(pid)) as probe:
        yield Listening(probe)


@contextlib.contextmanager
def listened_to(server):
    """Listen to a server, from when it says something on."""
    with listening(server.pid) as heard:
        heard.until(lambda records: serving.get(server.address, AWAKE) and _all_spans(records))
        yield heard


def tree_of(pid):
    """Return a process and all below it."""
    try:
        return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    except psutil.NoSuchProcess:
        return set()


def spans_of(records):
    """Return the spans among records."""
    return [span for span in _all_spans(records) if span.target != AWAKE]


def functions_of(span):
    """Return the names of all functions in a span's tree."""
    return {frame.function for frame in span.code.frames}


def time_in_ns(span, function):
    """Return how long a function was on the stack, in a span's tree."""
    stacks = ({frame.function for frame in span.code.stack(place)} for place in range(len(span.code.stacks)))
    return sum(ns for names, ns in zip(stacks, span.spent_ns, strict=True) if function in names)


def _environment(more):
    return {**os.environ, "PYTHONPATH": str(MIDDLEWARE), **(more or {})}


def _all_spans(records):
    return [record for record in records if isinstance(record, Span)]
