"""Requests that wait for each other are named while they hang: two locks, taken in opposite order."""

import pytest
import serving
import serving_loops
from faults.catalogue import GTHREAD
from recording import recording

from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load

pytestmark = [pytest.mark.fault, pytest.mark.ledger]
SECONDS = 4.0
BOTH = (Endpoint(Call("/forward/{n}"), clients=1), Endpoint(Call("/backward/{n}"), clients=1))
FAST = Endpoint(Call("/fast/{n}"), clients=1, pause_s=0.02)


def hung(server, load):
    """Record a server that hangs; returns the report as it is then."""
    with server as running, recording(running.pid) as recorder, Load(running.address, load) as asked:
        asked.wait(SECONDS)
        report = recorder.finish()
        asked.stop(grace_s=0)
    answered = {sample.endpoint: sample.status for sample in asked.samples}
    assert {answered[one.call.path] for one in BOTH} == {None}, "it was answered: nothing hung"
    return report


@pytest.mark.parametrize(
    ("server", "functions"),
    [
        pytest.param(GTHREAD, {"forward", "_take_first"}, id="threads"),
        pytest.param(serving_loops.uvicorn, {"forward", "backward"}, id="asyncio"),
        pytest.param(serving.http_server, {"forward", "_take_first"}, id="http-server", marks=pytest.mark.slow),
    ],
)
def test_two_requests_that_wait_for_each_other_are_named(server, functions):
    report = hung(server(), (*BOTH, FAST))
    [deadlock] = report["deadlocks"]
    members = deadlock["members"]
    assert {member["kind"] for member in members} == {"request"}, deadlock
    assert {member["name"].rpartition("/")[0] for member in members} == {"GET /forward", "GET /backward"}
    assert {member["function"] for member in members} == functions
    begun = {request["target"]: request["start"] for request in report["in_flight"]}
    assert abs(deadlock["since"] - max(begun.values())) < 1.5
    assert report["verdict"]["summary"].startswith(deadlock["summary"])


def test_a_lock_that_nobody_gives_back_is_no_deadlock():
    load = (Endpoint(Call("/hung/{n}"), clients=2), FAST)
    with GTHREAD() as server, recording(server.pid) as recorder, Load(server.address, load) as asked:
        asked.wait(SECONDS)
        report = recorder.finish()
        asked.stop(grace_s=0)
    assert len(report["in_flight"]) == 2
    assert report["deadlocks"] == []
