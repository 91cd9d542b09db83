"""Real servers that could do less for the same, and innocent ones beside them: what is listed, and what is not."""

import contextlib

import pytest
import serving
from faults import services, surroundings
from recording import recording

from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load

pytestmark = [pytest.mark.fault, pytest.mark.ledger]
SECONDS = 4
LISTING_BYTES = 40_000


def asked(path, clients=1):
    return Endpoint(Call(path), clients=clients, pause_s=0.03)


def report_on(paths, *around, slow_ms=20, app="chancing:app", **options):
    """Load the server, and return what a recording says of it, by kind and route."""
    with contextlib.ExitStack() as stack:
        environment = {}
        for one in around:
            environment |= stack.enter_context(one())
        server = stack.enter_context(serving.gunicorn(app, environment=environment, answers=False, **options))
        recorder = stack.enter_context(recording(server.pid, slow_ms=slow_ms))
        with Load(server.address, [asked(path) for path in paths]) as load:
            load.wait(SECONDS)
        report = recorder.finish()
        assert {sample.status for sample in load.samples} == {200}
        return report, load.samples


def found(report):
    return {(one["kind"], one["route"]): one for one in report["opportunities"]}


def test_the_same_work_for_the_same_question_could_be_kept():
    report, samples = report_on(("/report?day=1", "/search?q={n}", "/changing?day=1"), services.web)
    chances = found(report)
    assert {key for key in chances if key[0] == "cache"} == {("cache", "/report")}
    chance = chances["cache", "/report"]
    count = sum(sample.path.startswith("/report") for sample in samples)
    assert 0.7 * count <= chance["count"] < count
    assert 15 <= chance["saves_ms"] <= 40
    assert "/report" in chance["text"]
    assert chance["advice"]


def test_files_and_large_texts_are_told():
    report, _ = report_on(("/static/site.css", "/listing", "/packed", "/picture"))
    chances = found(report)
    assert set(chances) == {("static", "/static/site.css"), ("compress", "/listing")}
    sent = {one["name"]: one["value"] for one in chances["compress", "/listing"]["evidence"]}["sent_bytes"]
    assert sent / chances["compress", "/listing"]["count"] > LISTING_BYTES
    assert chances["static", "/static/site.css"]["count"] >= 20


def test_connections_that_are_used_once_are_told():
    report, _ = report_on(("/fresh", "/kept"), services.web)
    assert {key for key in found(report) if key[0] == "reuse-connections"} == {("reuse-connections", "/fresh")}


@pytest.mark.slow
def test_handshakes_from_nothing_are_told():
    report, _ = report_on(("/secure",), services.secure_web)
    chances = found(report)
    assert ("reuse-connections", "/secure") in chances
    assert chances["reuse-connections", "/secure"]["saves_ms"] > 3
    resumable = chances["resume-tls", "/secure"]
    assert "0 % of them resumed" in resumable["text"]


@pytest.mark.slow
def test_calls_that_could_overlap_are_told():
    report, _ = report_on(("/together", "/kept"), services.web)
    overlapping = {key: one for key, one in found(report).items() if key[0] == "overlap-calls"}
    assert set(overlapping) == {("overlap-calls", "/together")}
    assert overlapping["overlap-calls", "/together"]["saves_ms"] == pytest.approx(30, rel=0.35)


@pytest.mark.slow
def test_transactions_that_are_done_again_are_told():
    report, samples = report_on(("/conflict",), surroundings.postgres)
    chance = found(report)["retries", "/conflict"]
    assert chance["count"] >= 0.8 * len(samples)
    assert 8 <= chance["saves_ms"] <= 60


@pytest.mark.slow
def test_calls_that_are_made_again_are_told():
    report, samples = report_on(("/busy", "/kept"), services.web)
    retries = {key: one for key, one in found(report).items() if key[0] == "retries"}
    assert set(retries) == {("retries", "/busy")}
    asked_twice = sum(sample.path.startswith("/busy") for sample in samples)
    assert retries["retries", "/busy"]["count"] == pytest.approx(asked_twice, abs=2)
    assert 14 <= retries["retries", "/busy"]["saves_ms"] <= 60
