"""Real servers around an event loop, or with a reader before their workers, for tests: see `serving`."""

from __future__ import annotations

import contextlib
import sys

from serving import addresses, gunicorn, running

UVICORN_WORKER = "uvicorn.workers.UvicornWorker"


@contextlib.contextmanager
def uvicorn(app="looping:app", *, loop="asyncio", http="h11", python=sys.executable, environment=None):
    """Run uvicorn; `loop` is `asyncio` or `uvloop`, `http` is `h11` or `httptools`."""
    command = [python, "-m", "uvicorn", "--loop", loop, "--http", http]
    command += ["--no-access-log", "--timeout-keep-alive", 75, "--timeout-graceful-shutdown", 1]
    with addresses() as address:
        command += ["--port", address.rpartition(":")[2], app]
        with running(command, address, environment=environment) as server:
            yield server


@contextlib.contextmanager
def hypercorn(app="looping:app", *, loop="asyncio", environment=None):
    """Run hypercorn, whose worker is a child of its master."""
    with addresses() as address:
        command = [sys.executable, "-m", "hypercorn", "--worker-class", loop, "--bind", address]
        command += ["--keep-alive", 75, "--graceful-timeout", 1, app]
        with running(command, address, environment=environment) as server:
            yield server


@contextlib.contextmanager
def script(name, *, python=sys.executable, environment=None):
    """Run a script that serves at the port it is told: `looping_aiohttp.py`, `flask_faulty.py`."""
    with addresses() as address:
        command = [python, name, address.rpartition(":")[2]]
        with running(command, address, environment=environment) as server:
            yield server


def gunicorn_uvicorn(app="looping:app", *, environment=None):
    """Run gunicorn with uvicorn's workers, one of them."""
    return gunicorn(app, worker_class=UVICORN_WORKER, environment=environment)


def gunicorn_gevent(app="green:app", *, environment=None):
    """Run gunicorn with gevent's workers, one of them."""
    return gunicorn(app, worker_class="gevent", environment=environment)


@contextlib.contextmanager
def waitress(app="faulty:app", *, threads=2, python=sys.executable, environment=None):
    """Run waitress: one thread reads all requests, others handle them."""
    with addresses() as address:
        command = [python, "-m", "waitress", "--listen", address, "--threads", threads, app]
        with running(command, address, environment=environment) as server:
            yield server
