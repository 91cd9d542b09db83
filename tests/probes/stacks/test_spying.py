"""Stacks and names by way of py-spy: of real processes, with a clock that the test turns."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import spied
from ledgering import script

from perfwatch.probes.errors import Unavailable
from perfwatch.probes.frames import Frame, ThreadName, ThreadStacks
from perfwatch.probes.records import Loss
from perfwatch.probes.stacks import pyspy_run
from perfwatch.probes.stacks.pyspy import Dump, SpiedThread
from perfwatch.probes.stacks.spied import NAMES_NS, STACKS_NS, Spied
from perfwatch.probes.stacks.spying import SHARE, Spying

OLDEST = spied.PYTHONS.get("3.7", Path(sys.executable))
SECOND = 1_000_000_000
STARTING = """
import sys, threading
lock = threading.Lock(); lock.acquire()
print("up")
for line in sys.stdin:
    threading.Thread(target=lock.acquire, name=line.strip(), daemon=True).start()
    print("started")
"""


class Turned:
    """A `Spying` whose time passes only when the test says so."""

    def __init__(self):
        self.now_ns = SECOND
        self.spying = Spying("stacks")
        self.asked = []

    def read(self, threads, tableless=()):
        """Read once, and wait for what was asked by it."""
        records = self.spying.read(self.now_ns, threads, tableless)
        if self.spying._asked:
            self.asked.append((self.now_ns, self.spying._asked.pid))
            if self.spying._asked.py_spy._run:
                self.spying._asked.py_spy._run.wait()
        return records

    def pass_time(self, ns, threads, tableless=(), step_ns=SECOND // 50):
        """Read 50 times a second."""
        records = []
        for _ in range(ns // step_ns):
            self.now_ns += step_ns
            records += self.read(threads, tableless)
        return records

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.spying.close()


def test_stacks_of_a_python_without_a_table():
    with spied.quiet(OLDEST) as (process, known), Turned() as turned:
        records = turned.pass_time(3 * SECOND, {process.pid: ()}, {process.pid})
        names = turned.spying.thread_names(process.pid)
        cpu_ns = turned.spying.cpu_ns
    assert 2 <= len(records) <= 6
    assert 0 < cpu_ns <= SHARE * 3 * SECOND + 2 * cpu_ns / len(records)
    assert all(isinstance(record, ThreadStacks) and record.source == "py-spy" for record in records)
    assert {(record.pid, record.torn) for record in records} == {(process.pid, 0)}
    by_name = {one.name: one.tid for one in names}
    assert by_name == {"MainThread": process.pid, **{name: tid for name, (tid, _) in known.items()}}
    for name, (tid, frames) in known.items():
        (sample,) = [sample for sample in records[-1].samples if sample.tid == tid]
        told = records[-1].table.stack(sample.stack)
        assert [(frame.function, frame.file, frame.line) for frame in told] == frames, name


def test_stacks_are_told_once():
    with spied.counting(OLDEST) as (process, _), Turned() as turned:
        (record, *_) = turned.pass_time(SECOND, {process.pid: ()}, {process.pid})
    waiting = {sample.stack for sample in record.samples if not sample.holds_gil} - {None}
    assert len(record.samples) == 5
    assert len(waiting) < 4  # three wait at the same place
    assert len(set(record.table.frames)) == len(record.table.frames)


def test_of_others_only_the_names_are_asked_once_and_again_for_new_threads():
    with script(STARTING) as (process, _), Turned() as turned:

        def start(name):
            process.stdin.write(f"{name}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "started\n"
            return [int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()]

        def named():
            return [one.name for one in turned.spying.thread_names(process.pid)]

        threads = start("first")
        assert turned.pass_time(20 * SECOND, {process.pid: threads}, step_ns=SECOND // 10) == []
        assert named() == ["MainThread", "first"]
        assert len(turned.asked) == 1

        threads = start("second")
        turned.pass_time(SECOND, {process.pid: threads})
        threads = start("third")
        turned.pass_time(NAMES_NS - 2 * SECOND, {process.pid: threads}, step_ns=SECOND // 10)
        assert named() == ["MainThread", "first", "second"]
        turned.pass_time(2 * SECOND, {process.pid: threads})
        assert named() == ["MainThread", "first", "second", "third"]
        assert len(turned.asked) == 3
        assert turned.asked[2][0] - turned.asked[1][0] >= NAMES_NS


def test_processes_take_turns_and_those_that_end_are_forgotten():
    with spied.quiet(OLDEST) as (one, _), spied.quiet(OLDEST) as (other, _), Turned() as turned:
        pids = {one.pid, other.pid}
        records = turned.pass_time(4 * SECOND, dict.fromkeys(pids, ()), pids)
        assert {record.pid for record in records} == pids
        assert all(before[1] != after[1] for before, after in zip(turned.asked, turned.asked[1:], strict=False))
        other.kill()
        other.wait()
        assert all(record.pid == one.pid for record in turned.pass_time(2 * SECOND, dict.fromkeys(pids, ()), pids)[1:])
        turned.read({one.pid: ()}, pids)
        assert turned.spying.thread_names(other.pid) == ()


def test_without_py_spy_the_loss_is_told_once(monkeypatch):
    asked = []

    def missing():
        asked.append(1)
        raise Unavailable("py-spy is not installed", "pip install py-spy")

    monkeypatch.setattr(pyspy_run, "find_py_spy", missing)
    pid = os.getpid()
    with Turned() as turned:
        records = turned.pass_time(120 * SECOND, {pid: ()}, {pid}, step_ns=SECOND // 5)
    assert [(record.probe, record.lost) for record in records if isinstance(record, Loss)] == [("stacks", 1)]
    assert "pip install py-spy" in records[0].reason
    assert 5 <= len(asked) <= 10  # ever more rarely


def test_closing_ends_what_was_asked():
    with spied.quiet(OLDEST) as (process, _):
        spying = Spying("stacks")
        spying.read(SECOND, {process.pid: ()}, {process.pid})
        assert len(spied.children()) == 2
        spying.close()
        spying.close()


def dump_of(*stacks):
    """Return a dump of threads 1, 2, ... with these functions."""
    threads = []
    for tid, functions in enumerate(stacks, 1):
        frames = tuple(Frame(function, "a.py", 1) for function in functions)
        root = frames[-1] if frames else None
        threads.append(SpiedThread(tid, f"name {tid}", False, None, frames, root))
    return Dump(5, 1, tuple(threads))


def test_a_stack_that_ends_elsewhere_than_before_is_torn():
    process = Spied(7)
    process.wants_stacks = True
    first = process.take(dump_of(["f", "main"], ["g", "run"]), 1 * STACKS_NS)
    assert (len(first.samples), first.torn) == (2, 0)
    torn = process.take(dump_of(["f"], ["h", "g", "run"]), 2 * STACKS_NS)
    assert ([sample.tid for sample in torn.samples], torn.torn) == ([2], 1)
    again = process.take(dump_of(["f"], ["run"]), 3 * STACKS_NS)  # it is another thread with that number
    assert (len(again.samples), again.torn) == (2, 0)
    assert process.names == {1: "name 1", 2: "name 2"}


def test_a_thread_that_executes_no_python_has_no_stack():
    process = Spied(7)
    process.wants_stacks = True
    record = process.take(dump_of([], ["run"]), STACKS_NS)
    assert ([sample.tid for sample in record.samples], record.torn) == ([2], 0)
    assert ThreadName(1, "name 1").name == process.names[1]
