"""The probe where less is allowed, where it costs too much, and where it or its target comes to an end."""

import contextlib
import json
import os
import resource
import subprocess
import sys
import time

import pytest
from collecting import (
    BUILT,
    DEBIAN,
    NEEDS_WATCHPOINTS,
    only_polled,
    only_threads,
    watched,
)
from ledgering import script
from netting import NEEDS_ROOT, as_nobody, descriptors

from perfwatch.probes.pauses import expense, processes, watches
from perfwatch.probes.pauses.probe import POLLED_S, PausesProbe
from perfwatch.probes.readers.watchpoint import Watchpoint
from perfwatch.probes.records import GcPause, RateChange

pytestmark = [NEEDS_WATCHPOINTS, pytest.mark.flaky(reruns=1)]
MS = 1_000_000
REGISTERS = 4
STORM = """
def storm():
    while not stop:
        gc.collect(0)
"""
NAMES = ("status", "reason", "remedy")
WAIT = "import sys\nprint('ready')\nsys.stdin.read()"


def changes(target):
    return [one for one in target.records if isinstance(one, RateChange)]


def until_change(target, count=1):
    target.until(lambda _: len(changes(target)) >= count)
    return changes(target)[count - 1]


def availability(pid=None):
    return PausesProbe(lambda: [pid] if pid else []).availability()


def test_where_cpus_can_be_watched_nothing_lacks():
    with script(WAIT) as (process, _):
        assert availability(process.pid).status == availability().status == "available"


def test_where_only_threads_can_be_watched_that_is_told():
    def look():
        with script(WAIT, python="/usr/bin/python3") as (process, _):
            found = availability(process.pid)
        return json.dumps([found.status, found.reason, found.lost, found.remedy])

    status, reason, lost, remedy = json.loads(as_nobody(look))
    assert (status, reason) == ("limited", "this user may watch threads, but not CPUs")
    assert "0.1 s" in lost
    assert "perf_event_paranoid=0" in remedy


@NEEDS_ROOT
def test_the_process_of_another_user_cannot_be_read():
    with script(WAIT) as (process, _):
        found = json.loads(as_nobody(lambda: json.dumps([getattr(availability(process.pid), name) for name in NAMES])))
    assert found[0] == "unavailable"
    assert "no permission" in found[1]
    assert "root" in found[2]


def test_a_process_without_an_interpreter_is_no_hindrance():
    with subprocess.Popen(["sleep", "60"]) as process:
        assert availability(process.pid).status == "available"
        with PausesProbe(lambda: [process.pid]) as probe:
            assert list(probe.read(time.monotonic_ns())) == []
        process.kill()


@NEEDS_ROOT
def test_a_user_without_rights_watches_own_threads():
    def look():
        with watched("/usr/bin/python3") as target:
            target.do("serve(30)")
            noted = target.collections()
            target.until(lambda pauses: len(pauses) >= len(noted))
            told = [one for one in target.pauses if one.started_ns <= noted[-1].started_ns]
            around = all(one.started_ns <= other.started_ns for one, other in zip(told, noted, strict=True))
            return json.dumps([len(told), len(noted), around, sorted({one.source for one in told}), target.lost])

    told, noted, around, sources, lost = json.loads(as_nobody(look))
    assert (told, around, sources, lost) == (noted, True, ["watchpoint"], 0)
    assert noted >= 20


@pytest.mark.parametrize("version", [version for version in ("3.8", "3.11", "3.13") if version in BUILT])
def test_where_nothing_can_be_watched_it_is_polled(version, monkeypatch):
    only_polled(monkeypatch)
    with watched(BUILT[version]) as target:
        change = until_change(target)
        assert target.probe.period_s == POLLED_S
        target.do("serve(100)")
        target.do("grow(3000000); gc.disable(); time.sleep(0.1)")
        begin_ns = target.do("said = time.monotonic_ns(); gc.collect()")
        noted = [one for one in target.collections() if one.started_ns >= begin_ns]
        (long,) = target.until(lambda pauses: [one for one in pauses if begin_ns < one.started_ns + 20 * MS])
        target.until(lambda _: target.lost >= 5)
    assert change.reason == "this user may set no watchpoint (Permission denied): it is polled"
    assert change.followed == 0.0
    assert (change.period_ns, change.was_ns) == (POLLED_S * 1e9, 100 * MS)
    real_ns = noted[0].ended_ns - noted[0].started_ns
    assert real_ns > 60 * MS
    assert abs(long.paused_ns - real_ns) < 60 * MS
    assert (long.source, long.generation) == ("polled", 2)
    assert long.tid == target.pid


def test_while_debuggers_have_all_registers_it_is_polled_and_then_no_more(monkeypatch):
    monkeypatch.setattr("perfwatch.probes.pauses.process.RETRY_NS", 0)
    monkeypatch.setattr(watches, "RETRY_NS", 0)
    with watched() as target:
        target.probe.__exit__(None, None, None)
        with contextlib.ExitStack() as stack:
            for place in range(REGISTERS):
                stack.callback(Watchpoint(0x10000 + place * 8, tid=target.pid, pages=1).close)
            target.probe = stack.enter_context(PausesProbe(lambda: target.pids))
            change = until_change(target)
            assert change.reason == "the processor's watchpoints are all in use: it is polled"
            stack.pop_all().close()
        with PausesProbe(lambda: target.pids) as target.probe:
            target.read()
            target.do("gc.collect()")
            target.until(lambda pauses: pauses and pauses[-1].source == "watchpoint")


def test_a_storm_of_collections_is_polled_and_watched_again_after_it(way, monkeypatch):
    monkeypatch.setattr(expense, "PATIENCE_NS", 500 * MS)
    monkeypatch.setattr(expense, "WINDOW_NS", 500 * MS)
    with watched() as target:
        assert changes(target) == []
        target.do(f"stop = []; exec({STORM!r}); storm = in_threads(1, storm)")
        change = until_change(target)
        assert change.followed == 0.0
        assert "cost it" in change.reason
        assert "% of a core; that is more than 1%: it is polled" in change.reason
        assert target.probe.period_s == POLLED_S
        target.read()
        watching = target.probe._cpus._addresses, [process.threads for process in target.probe._processes]
        assert watching == ({}, [0])
        target.do("stop.append(1); join(storm)")
        again = until_change(target, 2)
        assert (again.followed, again.reason) == (1.0, f"process {target.pid} is watched again")
        assert (again.period_ns, target.probe.period_s) == (100 * MS, 0.1)
        begin_ns = target.do("said = time.monotonic_ns(); gc.collect()")
        target.until(lambda pauses: pauses[-1].started_ns > begin_ns and pauses[-1].source == "watchpoint")
        assert len(changes(target)) == 2


@pytest.fixture(name="way", params=["cpus", "threads"])
def watch_so(request, monkeypatch):
    if request.param == "threads":
        only_threads(monkeypatch)
    return request.param


def test_workers_that_share_an_address_are_all_given_up_on_the_cpus(monkeypatch):
    """A watchpoint of the CPUs would still stop the one that costs too much."""
    with watched() as target:
        fork = "child = os.fork()\nif not child:\n    while os.getppid() == parent: gc.collect(0)\n    os._exit(0)"
        child = target.do(f"parent = os.getpid(); exec({fork!r}); said = child")
        target.pids.append(child)
        target.until(lambda _: any("is polled" in one.reason for one in changes(target)))
        target.read()
        ways = {process.pid: process.way for process in target.probe._processes}
        assert ways == {target.pid: "threads", child: "polled"}
        assert changes(target)[-1].followed == 0.5
        os.kill(child, 9)
        target.do("os.waitpid(child, 0)")
        target.pids.remove(child)
        target.until(lambda _: [process.way for process in target.probe._processes] == ["cpus"])


@pytest.mark.skipif(not DEBIAN.exists(), reason="needs two processes whose interpreter lies at the same address")
def test_processes_that_are_none_of_the_targets_do_not_pay_for_it():
    """Debian's interpreter is at the same address in each process that runs it."""
    with watched(DEBIAN) as target, watched(DEBIAN) as other:
        other.probe.__exit__(None, None, None)
        target.do("gc.collect()")
        (process,) = target.probe._processes
        assert process.way == "cpus"
        other.process.stdin.write(f"stop = []; exec({STORM!r}); storm = in_threads(1, storm)\n")
        other.process.stdin.flush()
        target.until(lambda _: process.way == "threads")
        assert changes(target) == []
        assert not target.probe._cpus.covers(process.flag)
        target.do("gc.collect()")
        assert_same_pids(target)


def assert_same_pids(target):
    target.until(lambda pauses: len(pauses) >= 2)
    assert {pause.pid for pause in target.pauses} == {target.pid}


def test_a_third_address_is_watched_on_its_threads():
    """Two of the processor's registers are left to debuggers."""
    with contextlib.ExitStack() as stack:
        targets = [stack.enter_context(watched(BUILT[version])) for version in ("3.9", "3.11", "3.13")]
        for each in targets:
            each.probe.__exit__(None, None, None)
        target = targets[0]
        target.pids = [each.pid for each in targets]
        target.probe = stack.enter_context(PausesProbe(lambda: target.pids))
        target.read()
        assert sorted(process.way for process in target.probe._processes) == ["cpus", "cpus", "threads"]
        for each in targets:
            each.tell("gc.collect()")
        target.until(lambda pauses: {pause.pid for pause in pauses} == set(target.pids))
        for place in range(REGISTERS - 3):
            stack.callback(Watchpoint(0x10000 + place * 8, tid=target.pid, pages=1).close)


def test_a_process_that_leaves_the_tree_is_let_go(way):
    with watched() as target:
        before = descriptors()
        target.pids.clear()
        target.read()
        target.read()
        assert len(descriptors()) < len(before)
        assert list(target.probe._processes) == []
        with contextlib.ExitStack() as stack:
            for place in range(REGISTERS):
                stack.callback(Watchpoint(0x10000 + place * 8, tid=target.pid, pages=1).close)


def test_a_target_that_executes_another_interpreter_is_watched_on(way, monkeypatch):
    monkeypatch.setattr(processes, "RETRY_NS", 0)
    with watched(BUILT["3.9"]) as target:
        target.do("gc.collect()")
        target.until(lambda pauses: pauses)
        (before,) = target.probe._processes
        source = "import gc, sys\\nprint(1)\\nfor line in sys.stdin: gc.collect(); print(2)"
        target.tell(f"os.execv({str(BUILT['3.12'])!r}, ['python', '-uc', '{source}'])")
        assert target.answer() == 1
        begin_ns = time.monotonic_ns()
        target.until(lambda _: any(process is not before for process in target.probe._processes))
        assert target.do("") == 2
        target.until(lambda pauses: [one for one in pauses if one.started_ns > begin_ns and one.generation == 2])


def test_nothing_is_left_of_it(way):
    before = descriptors()
    with watched() as target:
        target.do("in_threads(5, lambda: time.sleep(100))")
        target.read()
        assert len(descriptors()) > len(before)
        target.probe.__exit__(None, None, None)
        with contextlib.ExitStack() as stack:
            for place in range(REGISTERS):
                stack.callback(Watchpoint(0x10000 + place * 8, tid=target.pid, pages=1).close)
        target.tell("os._exit(0)")
        target.process.wait()
    assert descriptors() == before


READER = """
import sys, time
from perfwatch.probes.pauses import watches
from perfwatch.probes.pauses.probe import PausesProbe
from perfwatch.probes.errors import Unavailable
if sys.argv[2] == "threads":
    def refused(address):
        raise Unavailable("refused", "")
    watches._on_all_cpus = refused
with PausesProbe(lambda: [int(sys.argv[1])]) as probe:
    print("ready")
    while True:
        probe.read(time.monotonic_ns())
        time.sleep(0.01)
"""


def test_a_reader_that_is_killed_leaves_the_target_unharmed(way):
    """At twenty moments, while threads start, collect, fork and end."""
    with watched() as target:
        target.do("stop = []; done = []")
        busy = (
            "def busy():\n    while not stop:\n        join(in_threads(4, lambda: rubbish(800)))\n"
            "        child = os.fork()\n        if not child: os._exit(7)\n"
            "        done.append(os.waitpid(child, 0)[1])\n"
        )
        target.do(f"exec({busy!r}); busy = in_threads(1, busy)")
        target.probe.__exit__(None, None, None)
        for moment in range(20):
            command = [sys.executable, "-uc", READER, str(target.pid), way]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
                assert reader.stdout.readline() == "ready\n"
                time.sleep(moment * 0.005)
                reader.kill()
        with PausesProbe(lambda: target.pids) as target.probe:
            before = target.do("said = len(done)")
            target.until(lambda _: target.do("said = len(done)") > before + 5)
            target.do("stop.append(1); join(busy)")
            assert set(target.do("said = done")) == {7 << 8}
            with contextlib.ExitStack() as stack:
                for place in range(REGISTERS - 1):
                    stack.callback(Watchpoint(0x10000 + place * 8, tid=target.pid, pages=1).close)


def test_a_process_that_writes_the_flag_itself_is_given_up(way, monkeypatch):
    """And says nonsense in its counts: what is told of it is told of it alone."""
    with watched() as target:
        (process,) = target.probe._processes
        write = (
            f"import ctypes\nflag = ctypes.c_int.from_address({process.flag})\n"
            f"state = (ctypes.c_char * 176).from_address({process.flag} - 176)\n"
            "def write():\n    while not stop:\n        flag.value = 1\n        flag.value = 0\n"
            "gc.disable(); kept = bytes(state); state[104:176] = bytes([200]) * 72\nstop = []"
        )
        target.do(f"exec({write!r}); writing = in_threads(2, write)")
        change = until_change(target)
        assert "is polled" in change.reason
        target.do("stop.append(1); join(writing); state[:] = kept")
        assert all(isinstance(one, GcPause) and one.pid == target.pid for one in target.pauses)


@NEEDS_ROOT
def test_with_little_memory_for_rings_as_many_threads_are_watched_as_can_be():
    """What a user may lock is kernel.perf_event_mlock_kb a CPU, and RLIMIT_MEMLOCK."""

    def look():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 16, 1 << 16))
        with watched("/usr/bin/python3") as target:
            target.do("go = threading.Event(); threads = in_threads(450, go.wait)")
            target.do("gc.collect()")
            (process,) = target.probe._processes
            before = process.threads
            target.do("go.set(); join(threads)")
            target.until(lambda pauses: pauses and process.threads == 1)
            return json.dumps([process.way, before, len(changes(target))])

    way, threads, told = json.loads(as_nobody(look))
    assert (way, told) == ("threads", 0)
    assert 20 < threads <= 451
