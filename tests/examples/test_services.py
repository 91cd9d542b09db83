"""The two services: each request to the first is shown with the very request that it made to the second."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest
import serving
from report_shape import CONTRACT, faults

from perfwatch.agent.collector import Collector
from perfwatch.agent.demo import start_services
from perfwatch.agent.recording import recorded
from perfwatch.agent.report import build, correlate, to_json
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.agent.target import find_targets
from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load
from perfwatch.probes.records import PeerProcess, ServedRequest

if TYPE_CHECKING:
    from perfwatch.agent.model import SessionInfo, View

CLIENTS = 40
AT_LEAST_IN_FLIGHT = 20
SECONDS = 4.0
MIX = (Endpoint(Call("/buy/{n}"), CLIENTS, 0.1), Endpoint(Call("/total/{n}"), 2, 0.1))
ledger = pytest.mark.ledger


class Watched(NamedTuple):
    """What was seen of both services, and what their clients saw."""

    may_err: float
    """Part of the requests that may be given another's call: an event loop's are told apart by what they usually do."""
    front: str
    back_pid: int
    in_flight: int
    info: SessionInfo
    view: View
    judged: list
    records: list
    replayed: tuple


@contextlib.contextmanager
def on_asyncio():
    """The example itself."""
    with start_services() as demo:
        yield demo.pid, demo.behind[0], demo.address


@contextlib.contextmanager
def in_threads():
    """The same on gunicorn's threads."""
    with (
        serving.gunicorn("perfwatch.examples.prices:app", threads=64) as back,
        serving.gunicorn("storefront_wsgi:app", threads=64, environment={"PRICES": back.address}) as front,
    ):
        yield front.pid, back.pid, front.address


def most_at_once(samples):
    """Return how many requests were under way at the same moment, at most."""
    edges = sorted([(one.start_ns, 1) for one in samples] + [(one.end_ns, -1) for one in samples])
    count = most = 0
    for _, step in edges:
        count += step
        most = max(most, count)
    return most


@pytest.fixture(name="watched", scope="module", params=[on_asyncio, in_threads], ids=["asyncio", "threads"])
def watch(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("services")
    folder.chmod(0o700)
    judged, records = [], []
    with (
        request.param() as (front, back, address),
        Collector(*find_targets([front, back])) as collector,
        SessionWriter(folder / "session", collector.info) as writer,
        Load(address, MIX) as load,
    ):
        for correlator, batch in recorded(collector, _Judging(writer, judged), threading.Event(), SECONDS):
            records += batch
            view = correlator.view()
        samples = load.samples
    with SessionReader(folder / "session") as session:
        replayed = correlate(session.info, session.records())
    may_err = 0.01 if request.param is on_asyncio else 0.0
    return Watched(may_err, address, back, most_at_once(samples), collector.info, view, judged, records, replayed)


class _Judging:
    """A writer that also keeps what was judged."""

    def __init__(self, writer, judged):
        self._writer, self._judged = writer, judged

    def write_verdict(self, request):
        self._judged.append(request)
        self._writer.write_verdict(request)

    def __getattr__(self, name):
        return getattr(self._writer, name)


def last(judged):
    return {request.record.id: request for request in judged}


def bought(watched):
    """Return the slow purchases, as they were told last."""
    requests = last(watched.judged).values()
    return [one for one in requests if one.record.local == watched.front and one.route == "/buy/{}" and one.slow]


def number_of(record):
    return int(record.target.rpartition("/")[2])


@ledger
def test_each_is_shown_with_the_request_that_it_made(watched):
    assert watched.in_flight >= AT_LEAST_IN_FLIGHT
    served = {one.id: one for one in watched.records if isinstance(one, ServedRequest)}
    purchases = bought(watched)
    assert len(purchases) >= 100
    followed = [one for one in purchases if one.callees]
    asked = {number_of(one.record): [served[callee.request].target for callee in one.callees] for one in followed}
    wrong = {number: targets for number, targets in asked.items() if targets != [f"/price/{number}"]}
    assert len(wrong) <= watched.may_err * len(followed), wrong
    assert len(followed) >= 0.99 * len(purchases), len(followed)


@ledger
def test_the_verdict_of_the_first_names_what_the_second_was_slow_for(watched):
    (buy,) = [end for end in watched.view.endpoints if end.route == "/buy/{}"]
    assert buy.verdict.mechanism == "dependency"
    assert "waits for GET /price/{} in gunicorn (pid " in buy.verdict.summary
    assert "where it waits for a lock" in buy.verdict.summary
    assert any(one.name == "callee_mechanism" and one.value == "lock" for one in buy.verdict.evidence)
    assert buy.verdict.advice[0].startswith("In gunicorn (pid ")


@ledger
def test_the_report_leads_from_one_to_the_other_and_back(watched):
    report = build(watched.info, watched.view, watched.judged)
    written = json.loads(to_json(report))
    assert [fault for fault in faults(written, CONTRACT) if ".queues." not in fault] == []
    assert written["session"]["peers"]
    requests = {one.id: one for one in report.slow_requests}
    callers = [one for one in report.slow_requests if one.callees]
    assert len(callers) >= 100
    for caller in callers:
        for callee in caller.callees:
            assert requests[callee.request].caller == caller.id
            assert requests[callee.request].ledger_ms == callee.ledger_ms
            assert requests[callee.request].service == watched.back_pid


@ledger
def test_a_replay_shows_the_same(watched):
    view, replayed = watched.replayed
    assert list(replayed) == watched.judged
    assert view.verdict == watched.view.verdict
    assert view.endpoints == watched.view.endpoints


@ledger
def test_the_second_is_named_as_who_listens(watched):
    named = [one for one in watched.records if isinstance(one, PeerProcess)]
    assert {(one.pid, one.is_target) for one in named} == {(watched.back_pid, True)}


def test_both_answer_and_nothing_is_left_behind():
    with start_services() as demo:
        assert serving.get(demo.address, "/buy/7")[1] == b"buy 107\n"
        assert serving.get(demo.address, "/total/7")[1] == b"total 21\n"
        assert serving.get(demo.address, "/quote/7")[0] == 200
        assert serving.get(demo.address, "/nothing")[0] == 404
        processes = psutil.Process().children(recursive=True)
        assert {demo.pid, *demo.behind} <= {process.pid for process in processes}
    assert not [process for process in processes if process.is_running()]
