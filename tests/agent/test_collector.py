"""The collector on real servers: every probe at its rate, one stream, and none that ends it but the ledger."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from itertools import pairwise

import pytest
import serving
from ledgering import await_unloaded, script

from perfwatch.agent.choices import Choices
from perfwatch.agent.collector import Collector
from perfwatch.agent.target import Target, find_target
from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load
from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.records import Loss, ServedRequest
from perfwatch.probes.samples import CollectorSample, RateChange
from perfwatch.probes.table import NAMES

LOAD = [Endpoint(Call("/sleep/{n}"), clients=1, pause_s=0.02), Endpoint(Call("/fast/{n}"), clients=1, pause_s=0.01)]
KINDS = {
    "host": {"host", "process"},
    "cpu": {"cpu"},
    "memory": {"memory", "process_memory"},
    "disk": {"disk_users"},
    "sockets": {"sockets"},
    "network": {"network"},
    "threads": {"threads"},
    "cgroup": {"cgroup"},
}
"""What each probe gives within two seconds of any server; `pressure` where the kernel has it, `wire` per connection."""
OFTEN = Choices(periods_s=(("memory", 0.1), ("host", 0.1)))
IDLE = "import sys; print('ready'); sys.stdin.readline()"
MANY_THREADS = """
import sys, threading
for _ in range(400):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print('ready')
sys.stdin.readline()
"""
ledger = pytest.mark.ledger


@contextlib.contextmanager
def loaded_server():
    with serving.http_server() as server, Load(server.address, LOAD) as load:
        load.wait(0.2)
        yield server


def collect(pid, seconds, choices=None):
    """Collect for some seconds; returns the collector (closed) and its batches."""
    with Collector(find_target(pid), choices=choices) as collector:
        return collector, list(collector.batches(threading.Event(), seconds))


def tag(record):
    return record.__struct_config__.tag


def status(collector, name):
    (found,) = [probe for probe in collector.info.probes if probe.name == name]
    return found


@pytest.fixture(name="exact", scope="module")
def collect_exactly():
    """Three seconds of a loaded server."""
    with loaded_server() as server:
        return collect(server.pid, 3.3)


@ledger
def test_every_probe_that_runs_gives_its_records(exact):
    collector, batches = exact
    records = [record for batch in batches for record in batch]
    counts = Counter(map(tag, records))
    statuses = {probe.name: probe.status for probe in collector.info.probes}
    assert list(statuses) == [name for name in NAMES if name != "sampled"]
    assert collector.info.fidelity == "exact"
    for name, kinds in KINDS.items():
        if statuses[name] != "unavailable":
            assert all(counts[kind] for kind in kinds), (name, counts)
    assert counts["request"] > 50
    assert not [record for record in records if isinstance(record, Loss)]
    await_unloaded()


@ledger
def test_the_stream_is_in_order_and_told_20_times_a_second(exact):
    _, batches = exact
    assert 40 <= len(batches) <= 69
    assert all([r.at_ns for r in batch] == sorted(r.at_ns for r in batch) for batch in batches)


@ledger
def test_its_own_cost_is_told_once_a_second(exact):
    _, batches = exact
    samples = [record for batch in batches for record in batch if isinstance(record, CollectorSample)]
    assert len(samples) == 3
    for sample in samples:
        assert sample.budget == 0.1
        assert 0 < sum(cost.cpu_ns for cost in sample.probes) < sample.cpu_ns
    readings = {cost.name: cost.readings for cost in samples[-1].probes}
    assert 20 <= readings["ledger"] <= 33
    assert 3 <= readings["host"] <= 5


@ledger
@pytest.mark.parametrize(
    "failure", [Malformed("kind 9"), OSError(5, "Input/output error"), Unavailable("no more", "-"), ValueError("\x1b")]
)
def test_a_probe_that_fails_is_switched_off_and_told_and_nothing_else_ends(monkeypatch, failure):
    def fail(_):
        raise failure

    with script(IDLE) as (process, _), Collector(find_target(process.pid), choices=OFTEN) as collector:
        (memory,) = [reading for reading in collector._sides.readings if reading.name == "memory"]
        records = []
        for number, batch in enumerate(collector.batches(threading.Event(), 0.6)):
            records += batch
            if number == 0:
                monkeypatch.setattr(memory.probe, "read", fail)
        assert memory not in collector._sides.readings
    (loss,) = [record for record in records if isinstance(record, Loss)]
    assert (loss.probe, loss.lost) == ("memory", 1)
    assert loss.reason.startswith("not read any more: ")
    assert loss.reason.isprintable()
    assert len([record for record in records if tag(record) == "host"]) >= 5


@ledger
def test_a_probe_that_fails_at_its_end_too_ends_nothing_else(monkeypatch):
    def fail(*_):
        raise ValueError("broken")

    with script(IDLE) as (process, _), Collector(find_target(process.pid), choices=OFTEN) as collector:
        broken = {reading.name: reading for reading in collector._sides.readings}
        for name in ("memory", "pressure"):
            broken[name]._stack.callback(fail)
        monkeypatch.setattr(broken["memory"].probe, "read", fail)
        records = [record for batch in collector.batches(threading.Event(), 0.6) for record in batch]
    assert [record.probe for record in records if isinstance(record, Loss)] == ["memory"]
    assert not collector._sides.readings
    await_unloaded()


@ledger
def test_a_process_that_has_just_ended_switches_nothing_off(monkeypatch):
    def miss(_):
        raise Vanished("process 7 has ended")

    with script(IDLE) as (process, _), Collector(find_target(process.pid), choices=OFTEN) as collector:
        (memory,) = [reading for reading in collector._sides.readings if reading.name == "memory"]
        monkeypatch.setattr(memory.probe, "read", miss)
        records = [record for batch in collector.batches(threading.Event(), 0.6) for record in batch]
        assert memory in collector._sides.readings
        assert memory.cost().readings >= 2
    assert not [record for record in records if isinstance(record, Loss)]


@ledger
def test_what_was_left_out_is_not_read_and_what_was_asked_for_is():
    choices = Choices(without=("memory", "threads"), periods_s=(("host", 0.25),))
    with script(IDLE) as (process, _):
        collector, batches = collect(process.pid, 1.6, choices)
    counts = Counter(tag(record) for batch in batches for record in batch)
    assert (counts["memory"], counts["threads"]) == (0, 0)
    assert 5 <= counts["host"] <= 8
    assert status(collector, "memory").status == "unavailable"
    assert status(collector, "memory").reason == "left out by --without"
    assert status(collector, "host").period_s == 0.25


@ledger
def test_over_budget_the_dearest_probe_is_read_less_often():
    """400 threads ten times a second, for 1 % of a core."""
    with script(MANY_THREADS) as (process, _):
        choices = Choices(budget=0.01, periods_s=(("threads", 0.1),), without=("wire", "disk", "sockets", "stacks"))
        _, batches = collect(process.pid, 6.4, choices)
    records = [record for batch in batches for record in batch]
    changes = [record for record in records if isinstance(record, RateChange)]
    assert changes[0].probe == "threads"
    assert changes[0].was_ns == 100_000_000 < changes[0].period_ns <= 400_000_000
    assert "its budget is 1.0%" in changes[0].reason
    samples = [record for record in records if isinstance(record, CollectorSample)]
    costs = [next(cost for cost in sample.probes if cost.name == "threads") for sample in samples]
    periods = [cost.period_ns for cost in costs]
    assert periods == sorted(periods)
    used = [after.cpu_ns - before.cpu_ns for before, after in pairwise(costs)]
    assert used[-1] < used[0] * 0.7, used


def test_sampling_is_chosen():
    with loaded_server() as server:
        collector, batches = collect(server.pid, 1.6, Choices(fidelity="sampled"))
    assert collector.info.fidelity == "sampled"
    assert status(collector, "ledger").reason == "left out by --fidelity sampled"
    assert status(collector, "sampled").status in {"running", "limited"}
    assert len(batches) <= 35, "20 a second, though the threads are read 100 times"
    samples = [record for batch in batches for record in batch if isinstance(record, CollectorSample)]
    readings = {cost.name: cost.readings for cost in samples[-1].probes}
    assert readings["sampled"] > 60
    served = [record for batch in batches for record in batch if isinstance(record, ServedRequest)]
    assert {record.fidelity for record in served} <= {"sampled"}


@ledger
def test_of_a_short_session_there_are_two_readings():
    with script(IDLE) as (process, _):
        _, batches = collect(process.pid, 0.95)
    counts = Counter(tag(record) for batch in batches for record in batch)
    assert all(counts[kind] == 2 for kind in ("host", "memory", "pressure") if counts[kind]), counts
    assert counts["host"] == 2


@ledger
def test_a_target_that_is_gone_already_ends_the_stream():
    with script(IDLE) as (process, _):
        target = find_target(process.pid)
    with Collector(Target(target.pid, "x", None, None)) as collector:
        for _ in collector.batches(threading.Event(), 10.0):
            pass
        assert f"process {target.pid}" in collector.ended
