"""Several targets in one session: each request is told of its own, and only the last end is the end."""

from __future__ import annotations

import threading

import making as m
import pytest
import serving
from ledgering import requests_of, script

from perfwatch.agent.choices import Choices
from perfwatch.agent.collector import Collector
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.model import TargetInfo
from perfwatch.agent.report import build, correlate, to_text
from perfwatch.agent.target import find_targets
from perfwatch.probes.records import InFlight, TargetChange, TreeMember
from perfwatch.probes.trees import Trees

IDLE = "import sys; print('ready'); sys.stdin.readline()"
PARENT = "import os, sys; pid = os.fork(); (print(pid, flush=True), sys.stdin.readline()) if pid else sys.stdin.read()"
BRIEF = Choices(without=("stacks", "wire", "disk"))
FIRST, SECOND = TargetInfo(4312, "front", "3.11.7", "gunicorn"), TargetInfo(4400, "back", "3.11.7", None)
ledger = pytest.mark.ledger


def collected(pids, act, choices=BRIEF):
    """Collect while `act(stop)` runs in a thread; returns the collector and its records."""
    stop = threading.Event()
    with Collector(*find_targets(pids), choices=choices) as collector:
        acting = threading.Thread(target=act, args=(stop,))
        acting.start()
        records = [record for batch in collector.batches(stop) for record in batch]
        acting.join()
    return collector, records


def target_of(records):
    return {record.pid: record.target for record in records if isinstance(record, TreeMember)}


@ledger
@pytest.mark.parametrize("fidelity", ["exact", "sampled"])
def test_each_request_is_told_of_its_own_target(fidelity):
    with serving.http_server() as one, serving.gunicorn("faulty:app", workers=2) as other:

        def act(stop):
            for number in range(6):
                assert serving.get(one.address, f"/sleep/{number}")[0] == 200
                assert serving.get(other.address, f"/sleep/{number}")[0] == 200
            stop.wait(0.3)
            stop.set()

        collector, records = collected([one.pid, other.pid], act, Choices(fidelity, without=("stacks", "disk")))
    served = requests_of(records)
    members = target_of(records)
    assert [target.pid for target in collector.info.targets] == [one.pid, other.pid]
    assert collector.info.listeners == tuple(sorted((one.address, other.address)))
    assert len({request.id for request in served}) == len(served) == 12
    for server in (one, other):
        mine = [request for request in served if request.local == server.address]
        assert len(mine) == 6
        assert {members[request.pid] for request in mine} == {server.pid}
    flights = [record for record in records if isinstance(record, InFlight)]
    assert all(len({one.id for one in flight.requests}) == len(flight.requests) for flight in flights)
    view, _ = correlate(collector.info, records)
    assert sorted((end.service, end.count) for end in view.endpoints) == sorted([(one.pid, 6), (other.pid, 6)])
    assert view.workers == 2


@ledger
@pytest.mark.parametrize("fidelity", ["exact", "sampled"])
def test_it_goes_on_until_the_last_has_ended(fidelity):
    with script(IDLE) as (one, _), script(IDLE) as (other, _):

        def act(stop):
            one.kill()
            stop.wait(1.0)
            other.kill()

        collector, records = collected([one.pid, other.pid], act, Choices(fidelity, without=("stacks", "disk")))
    changes = [(record.pid, record.change, record.detail) for record in records if isinstance(record, TargetChange)]
    both = f"processes {one.pid} and {other.pid} and all their children have ended"
    assert collector.ended == both
    assert changes[:2] == [(one.pid, "attached", ""), (other.pid, "attached", "")]
    assert changes[2:4] == [
        (one.pid, "exited", f"process {one.pid} and all its children have ended"),
        (other.pid, "exited", ""),
    ]
    assert [(change, detail) for _, change, detail in changes[4:]] == [("gone", both)]


def test_a_child_of_one_of_them_is_one_line():
    with script(PARENT) as (process, child), pytest.raises(PerfwatchError, match="belongs to process") as raised:
        find_targets([int(child), process.pid])
    assert raised.value.problem.startswith(f"process {child} belongs to process {process.pid}")


def test_one_that_is_named_twice_is_followed_once():
    with script(IDLE) as (process, _):
        assert [target.pid for target in find_targets([process.pid, process.pid])] == [process.pid]


def test_one_target_alone_has_no_members():
    trees = Trees([10])
    trees.take_up(10, 10)
    trees.fork(11, 10)
    assert trees.told(5) == []
    assert trees.end(10) == trees.end(11) == ""
    assert trees.gone() == "process 10 and all its children have ended"


def test_a_fork_belongs_to_the_tree_of_its_parent():
    trees = Trees([10, 20])
    for pid in (10, 20):
        trees.take_up(pid, pid)
    trees.fork(11, 10)
    trees.fork(12, 11)
    trees.fork(31, 30)
    assert trees.told(5) == [TreeMember(5, *pair) for pair in ((10, 10), (20, 20), (11, 10), (12, 10))]
    assert trees.told(6) == []
    assert [trees.end(pid) for pid in (10, 20, 12, 11)] == ["", "process 20 and all its children have ended", "", ""]


def test_one_route_of_two_services_is_two_endpoints():
    records = [
        TreeMember(m.START, 4312, 4312),
        TreeMember(m.START, 4313, 4312),
        TreeMember(m.START, 4400, 4400),
        m.served(1, 100, ms=40, pid=4313, target="/price"),
        m.served(2, 200, ms=90, pid=4400, target="/price"),
        m.served(3, 300, ms=90, pid=4444, target="/price"),
    ]
    info = m.info(targets=(FIRST, SECOND))
    view, judged = correlate(info, records)
    found = {end.service: (end.method, end.route, end.count) for end in view.endpoints}
    assert found == dict.fromkeys((4312, 4400, None), ("GET", "/price", 1))
    assert [request.endpoint[1] for request in judged] == ["/price @4312", "/price @4400", "/price"]
    report = build(info, view, judged)
    assert sorted(end.service or 0 for end in report.endpoints) == [0, 4312, 4400]
    assert [target.pid for target in report.session.targets] == [4312, 4400]
    text = to_text(report)
    assert "and pid 4400 · unknown server · Python 3.11.7: back" in text
    assert "GET /price @4400" in text


def test_alone_nothing_is_told_apart():
    view, _ = correlate(m.info(), [m.served(1, 100, ms=40), m.served(2, 200, ms=40, pid=9)])
    assert [(end.service, end.count) for end in view.endpoints] == [(None, 2)]
