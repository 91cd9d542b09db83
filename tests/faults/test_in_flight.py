"""A request that hangs shows while it hangs: a lock that is never released."""

import pytest
import serving
from recording import recording

from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load

pytestmark = [pytest.mark.fault, pytest.mark.ledger]
HUNG = 3
SECONDS = 3.5
"""A deadlock would be told by then."""


def test_a_lock_that_is_never_released_shows_in_flight():
    load = (Endpoint(Call("/hung/{n}"), clients=HUNG), Endpoint(Call("/fast/{n}"), clients=1, pause_s=0.02))
    with (
        serving.gunicorn("faulty:app") as server,
        recording(server.pid) as recorder,
        Load(server.address, load) as running,
    ):
        running.wait(SECONDS)
        report = recorder.finish()
        running.stop(grace_s=0)
    cut_off = {sample.path: sample for sample in running.samples if sample.endpoint == "/hung/{n}"}
    assert len(cut_off) == HUNG
    assert {sample.status for sample in cut_off.values()} == {None}, "it was answered: nothing hung"

    hung = {request["target"]: request for request in report["in_flight"]}
    assert hung.keys() == cut_off.keys()
    assert report["deadlocks"] == []
    for path, request in hung.items():
        assert request["method"] == "GET"
        assert (SECONDS - 1.2) * 1e3 < request["age_ms"] < cut_off[path].latency_ms
        assert request["ledger_ms"]["lock"] > 0.85 * request["age_ms"], request  # the start was busy
