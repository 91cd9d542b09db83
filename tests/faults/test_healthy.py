"""Healthy servers for a while, under little and much load, judged as users do: by the threshold that adapts."""

import functools

import pytest
import serving
import serving_loops
from faults.catalogue import clients
from faults.observing import route_of
from recording import recording

from perfwatch.examples.load import Load

pytestmark = [pytest.mark.fault, pytest.mark.ledger]
SECONDS, QUICK_S = 15, 6
LATE_MS = 20
"""What takes less is never slow."""
CROWDED = {("capacity", "run-queue"), ("unknown", None)}
"""What may be said of requests that were late for their clients too: this machine is shared."""
GTHREAD = functools.partial(serving.gunicorn, "faulty:app")
LOADS = {"light": (1, 0.05), "busy": (3, 0.01)}


def parameters():
    for name, server, work in (("gunicorn-gthread", GTHREAD, "cpu"), ("uvicorn", serving_loops.uvicorn, "burn")):
        for load in LOADS:
            is_quick = (name, load) == ("gunicorn-gthread", "busy")
            seconds, marks = (QUICK_S, []) if is_quick else (SECONDS, [pytest.mark.slow])
            yield pytest.param(server, work, load, seconds, id=f"{name}-{load}", marks=marks)


@pytest.mark.parametrize(("server", "work", "load", "seconds"), parameters())
def test_nobody_is_accused(server, work, load, seconds):
    count, pause_s = LOADS[load]
    endpoints = [clients("/fast/{n}", count, pause_s), clients(f"/{work}/{{n}}?ms=1", count, pause_s)]
    with server() as running, recording(running.pid) as recorder:
        with Load(running.address, endpoints) as sent:
            sent.wait(seconds)
        report = recorder.finish()
    samples = sent.samples
    assert {sample.status for sample in samples} == {200}
    assert report["requests"]["count"] == len(samples) > seconds * 10
    late = {route_of(sample) for sample in samples if sample.latency_ms >= LATE_MS}
    for endpoint in report["endpoints"]:
        told = (endpoint["principle"], endpoint["mechanism"])
        assert told == ("healthy", None) or (endpoint["route"] in late and told in CROWDED), endpoint["summary"]
    if not late:
        assert report["verdict"]["principle"] == "healthy"
        assert report["requests"]["slow_count"] == 0
    assert report["opportunities"] == []
