"""The ledger holds on every kind of server in which one thread handles a request, and on each CPython."""

import dataclasses
import functools

import pytest
import serving
from faults.catalogue import FAULTS
from faults.observing import observe, planted_by_path
from recording import recording

from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load

pytestmark = [pytest.mark.fault, pytest.mark.ledger]
SECONDS = 1.5
SLOW_MS = 20
VERSIONS = ("3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
FEWEST = 20
FEWEST_BLOCKED = 5
MOST_OFF = 0.05
LEAST_CAPTURED = 0.99

gunicorn = functools.partial(serving.gunicorn, "plain:app")
SERVERS = {
    "gthread-workers": functools.partial(gunicorn, workers=2),
    "gthread-unix": functools.partial(gunicorn, unix=True),
    "sync-workers": functools.partial(gunicorn, worker_class="sync", workers=3),
    "sync-unix": functools.partial(gunicorn, worker_class="sync", workers=3, unix=True),
    "http-server-unix": functools.partial(serving.http_server, unix=True),
    "flask": serving.flask,
    "django-gunicorn": functools.partial(serving.gunicorn, "django_plain:app"),
    "django-runserver": serving.django,
    "cheroot": serving.cheroot,
}
QUICK = {"gthread-workers", "sync-unix", "cheroot"}


def assert_sleeps_are_seen(server):
    """Load `/sleep` while a recorder runs; hold the report against what the clients saw."""
    with recording(server.pid, slow_ms=SLOW_MS) as recorder:
        with Load(server.address, [Endpoint(Call("/sleep/{n}"), clients=2, pause_s=0.02)]) as load:
            load.wait(SECONDS)
        report = recorder.finish()
    sent = {sample.path for sample in load.samples}
    assert len(sent) >= FEWEST
    assert {sample.status for sample in load.samples} == {200}

    (endpoint,) = report["endpoints"]
    assert (endpoint["method"], endpoint["route"], endpoint["errors"]) == ("GET", "/sleep/{}", 0)
    assert (endpoint["principle"], endpoint["mechanism"]) == ("efficiency", "sleep"), endpoint
    seen = {request["target"]: request for request in report["slow_requests"]}
    assert seen.keys() <= sent
    assert len(seen) >= LEAST_CAPTURED * len(sent)
    assert {request["status"] for request in seen.values()} == {200}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in SERVERS]
)
def test_every_kind_of_server(name):
    with SERVERS[name]() as server:
        assert_sleeps_are_seen(server)


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_every_interpreter(version):
    python = serving.interpreters().get(version)
    if python is None:
        pytest.skip(f"no CPython {version} under pyenv")
    with serving.http_server(python=python) as server:
        assert_sleeps_are_seen(server)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gil", "lock"])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_interpreter_lock_is_told_from_other_locks(version, kind):
    python = serving.interpreters().get(version)
    if python is None:
        pytest.skip(f"no CPython {version} under pyenv")
    fault = next(fault for fault in FAULTS if fault.name == f"{kind}-http-server")
    server = functools.partial(serving.http_server, python=python)
    observed = observe(dataclasses.replace(fault, server=server, seconds=2), slow_ms=SLOW_MS)

    reported = {request["target"]: request["ledger_ms"] for request in observed.report["slow_requests"]}
    planted_ns = planted_by_path(fault.kind, observed.samples, observed.truth)
    both = [(planted_ns[path] / 1e6, ledger) for path, ledger in reported.items() if path in planted_ns]
    assert len(both) >= FEWEST_BLOCKED
    planted_ms = sum(planted for planted, _ in both)
    booked_ms = {name: sum(ledger.get(name, 0) for _, ledger in both) for name in ("gil", "lock")}
    # More of it is the interpreter lock's than the handler saw: its thread waits for that also before and after.
    assert booked_ms.pop(kind) >= (1 - MOST_OFF) * planted_ms
    (other_ms,) = booked_ms.values()
    assert other_ms <= MOST_OFF * planted_ms
