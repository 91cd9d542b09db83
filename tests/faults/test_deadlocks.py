"""Requests that wait for each other are named while they hang: two locks, taken in opposite order, in two ways."""

import pytest
import serving
import serving_loops
from equipped import equipped
from faults.catalogue import GTHREAD
from recording import recording

from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load

pytestmark = [pytest.mark.fault, pytest.mark.ledger]
SECONDS = 4.0
FAST = Endpoint(Call("/fast/{n}"), clients=1, pause_s=0.02)
BY_WITH, BY_ACQUIRE = ("/forward", "/backward"), ("/acquire-forward", "/acquire-backward")
"""Two routes each, whose requests wait for each other."""
THREADS = {"forward", "_take_first"}, {"take_other", "acquire_backward"}
TASKS = {"forward", "backward"}, {"acquire_forward", "acquire_backward"}
"""Where they wait."""


def hung(server):
    """Record a server whose requests to all four routes hang; returns the report as it is then."""
    stuck = [Endpoint(Call(f"{route}/{{n}}"), clients=1) for route in (*BY_WITH, *BY_ACQUIRE)]
    with server as running, recording(running.pid) as recorder, Load(running.address, (*stuck, FAST)) as asked:
        asked.wait(SECONDS)
        report = recorder.finish()
        asked.stop(grace_s=0)
    answered = {sample.endpoint: sample.status for sample in asked.samples}
    assert {answered[one.call.path] for one in stuck} == {None}, "it was answered: nothing hung"
    return report


def assert_told(report, functions):
    """Assert that the requests to two routes each are told to wait for each other, and where."""
    begun = {request["target"]: request["start"] for request in report["in_flight"]}
    told = {}
    for deadlock in report["deadlocks"]:
        members = deadlock["members"]
        assert {member["kind"] for member in members} == {"request"}, deadlock
        routes = frozenset(member["name"].rpartition("/")[0].removeprefix("GET ") for member in members)
        told[routes] = {member["function"].rpartition(".")[2] for member in members}
        since = max(at for target, at in begun.items() if target.rpartition("/")[0] in routes)
        assert abs(deadlock["since"] - since) < 1.5
    assert told == {frozenset(routes): where for routes, where in zip((BY_WITH, BY_ACQUIRE), functions, strict=True)}
    assert report["verdict"]["summary"].startswith(report["deadlocks"][0]["summary"])


@pytest.mark.parametrize(
    ("server", "functions"),
    [
        pytest.param(GTHREAD, THREADS, id="threads"),
        pytest.param(serving_loops.uvicorn, TASKS, id="asyncio"),
        pytest.param(serving.http_server, THREADS, id="http-server", marks=pytest.mark.slow),
    ],
)
def test_requests_that_wait_for_each_other_are_named(server, functions):
    assert_told(hung(server()), functions)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.8", "3.10", "3.13"])
def test_and_so_are_those_of_other_interpreters(version):
    python = serving.interpreters().get(version)
    if python is None:
        pytest.skip(f"no CPython {version} under pyenv")
    assert_told(hung(serving.http_server(python=python)), THREADS)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.9", "3.12"])
def test_and_so_are_coroutines_of_other_interpreters(version):
    assert_told(hung(serving_loops.uvicorn(python=equipped(version))), TASKS)
