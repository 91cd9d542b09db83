"""Real servers, each with requests that wait for a permit: every one is found by its connection, with its handler."""

import contextlib
import socket
import sys
import time
from pathlib import Path

import pytest
from ledgering import attached
from serving import addresses, running
from targets import python_of
from waiting import until

from perfwatch.probes.tasks.probe import TasksProbe

APPS = Path(__file__).parent / "apps"
UVICORN = ["-m", "uvicorn", "asgi:app", "--log-level", "error"]
SERVERS = {
    "uvicorn, h11": [*UVICORN, "--loop", "asyncio", "--http", "h11", "--port"],
    "uvicorn, httptools": [*UVICORN, "--loop", "asyncio", "--http", "httptools", "--port"],
    "uvicorn, uvloop": [*UVICORN, "--loop", "uvloop", "--http", "httptools", "--port"],
    "gunicorn": ["-m", "gunicorn", "-k", "uvicorn.workers.UvicornWorker", "asgi:app", "-b"],
    "gunicorn, asgi": ["-m", "gunicorn", "-k", "asgi", "asgi:app", "-b"],
    "hypercorn": ["-m", "hypercorn", "asgi:app", "--log-level", "ERROR", "-b"],
    "aiohttp": ["on_aiohttp.py"],
    "tornado": ["on_tornado.py"],
}
QUICK = {"uvicorn, h11", "uvicorn, uvloop", "aiohttp"}
BOUND = {"gunicorn", "gunicorn, asgi", "hypercorn"}


@contextlib.contextmanager
def server(name, python=sys.executable):
    with addresses() as address:
        where = address if name in BOUND else address.rpartition(":")[2]
        with running([python, *SERVERS[name], where], address, cwd=APPS) as found:
            yield found


def family(pid):
    """Return the processes of a server."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            found += map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split())
    return found


@contextlib.contextmanager
def asking(address, paths, headers=""):
    """Send requests that get no answer, each on a connection of its own; yields client addresses by path."""
    host, _, port = address.rpartition(":")
    with contextlib.ExitStack() as stack:
        asked = {path: set() for path in paths}
        for path in paths:
            connection = stack.enter_context(socket.create_connection((host, int(port))))
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
            asked[path].add("{}:{}".format(*connection.getsockname()))
        yield asked


def chains(records):
    """Return, by client, the functions of each chain that serves it, bare names, the innermost first."""
    found = {}
    for record in records:
        for task in record.tasks:
            names = [frame.function.rpartition(".")[2] for frame in record.table.stack(task.stack)]
            found.setdefault(task.client, []).append(names)
    return found


def until_waiting(pid, clients, tasks=1):
    """Read until each client has so many tasks that wait for the permit; returns the chains."""

    def waiting():
        found = chains(probe.read(time.monotonic_ns()))
        is_all = all(sum("take_permit" in names for names in found.get(each, ())) >= tasks for each in clients)
        return is_all and found

    with TasksProbe(lambda: family(pid)) as probe:
        return until(waiting, pause_s=0.02)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in SERVERS]
)
def test_each_request_that_waits_is_found_by_its_connection(name):
    with server(name) as found, asking(found.address, ["/permit"] * 20) as asked:
        known = until_waiting(found.pid, asked["/permit"])
        assert "TracerPid:\t0" in Path(f"/proc/{found.pid}/status").read_text()
    for client in asked["/permit"]:
        waiting = [names for names in known[client] if "take_permit" in names]
        for names in waiting:
            assert names[:3] == ["acquire", "__aenter__", "take_permit"]
            assert names[3] in {"permit", "get"}
    others = {client for client in known if client not in asked["/permit"]}
    # hypercorn still has the connection that was tried whether it answers
    assert others - {None} == set() or name == "hypercorn"


@pytest.mark.parametrize(
    "name", ["uvicorn, uvloop", *(pytest.param(name, marks=pytest.mark.slow) for name in ("uvicorn, h11", "hypercorn"))]
)
def test_what_a_request_has_begun_serves_the_same_connection(name):
    with server(name) as found, asking(found.address, ["/gather", "/in_time", "/group"] * 2) as asked:
        until_waiting(found.pid, asked["/gather"] | asked["/group"], tasks=2)
        until_waiting(found.pid, asked["/in_time"])


def test_whom_a_proxy_tells_of_is_not_the_connection():
    with (
        server("uvicorn, h11") as found,
        asking(found.address, ["/permit"] * 3, "X-Forwarded-For: 9.9.9.9\r\n") as asked,
    ):
        known = until_waiting(found.pid, asked["/permit"])
    assert known.keys() == asked["/permit"] | {None}


@pytest.mark.ledger
def test_a_client_is_named_as_the_ledger_names_it():
    with (
        contextlib.ExitStack() as stack,
        server("uvicorn, uvloop") as found,
        attached(found.pid) as ledger,
        TasksProbe(lambda: [found.pid]) as probe,
    ):
        told = chains(probe.read(time.monotonic_ns()))  # it has found its way before anybody naps
        asked = stack.enter_context(asking(found.address, ["/nap"] * 5))
        until(lambda: told.update(chains(probe.read(time.monotonic_ns()))) or asked["/nap"] <= told.keys())
        remotes = {request.remote for request in ledger.served(5) if request.target == "/nap"}
    assert remotes == asked["/nap"]
    assert {tuple(names[:2]) for client in remotes for names in told[client] if "nap" in names} == {("sleep", "nap")}


@pytest.mark.parametrize("version", ["3.8", pytest.param("3.13", marks=pytest.mark.slow)])
def test_on_the_oldest_and_the_newest_interpreter(version):
    with server("uvicorn, h11", python_of(version)) as found, asking(found.address, ["/permit"] * 5) as asked:
        until_waiting(found.pid, asked["/permit"])


def test_fifty_that_wait_cost_little_and_the_server_nothing():
    with server("uvicorn, uvloop") as found, asking(found.address, ["/permit"] * 50) as asked:
        until_waiting(found.pid, asked["/permit"])
        with TasksProbe(lambda: [found.pid]) as probe:
            while sum(len(record.tasks) for record in probe.read(time.monotonic_ns())) < 50:
                pass
            costs = []
            for _ in range(50):
                began = time.process_time_ns()
                (record,) = probe.read(time.monotonic_ns())
                costs.append((time.process_time_ns() - began) / len(record.tasks))
            assert "TracerPid:\t0" in Path(f"/proc/{found.pid}/status").read_text()
    assert len(record.tasks) > 50
    # 15 us on a machine of its own; of the readings that others disturbed least it is told here.
    assert sorted(costs)[len(costs) // 4] < 60_000
