"""What real threads do, as the page of threads tells it: held against what the program made them do."""

import json
import os
import time
from pathlib import Path

import pytest
from ledgering import schedstat_cpu_ns, script
from making import info

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.probes.stacks.probe import StacksProbe
from perfwatch.probes.threads import ThreadsProbe

PLANTED = """
import concurrent.futures, json, os, queue, socket, threading, time
lock, one = threading.Lock(), socket.socketpair()
began = threading.Event()

def hold():
    with lock:
        began.set()
        time.sleep(60)

def want():
    with lock:
        pass

def spin():
    while True:
        pass

kinds = {"holder": hold, "waiter": want, "other waiter": want, "reader": lambda: one[0].recv(1),
         "queue": queue.Queue().get, "event": threading.Event().wait, "sleeper": lambda: time.sleep(60),
         "busy": spin, "other busy": spin}
pool = concurrent.futures.ThreadPoolExecutor(1)
threads = {"pool": pool.submit(threading.get_native_id).result(), "main": threading.get_native_id()}
for name, work in kinds.items():
    threads[name] = None
    def run(name=name, work=work):
        threads[name] = threading.get_native_id()
        work()
    threading.Thread(target=run, daemon=True).start()
    if name == "holder":
        began.wait()
while None in threads.values():
    time.sleep(0.01)
print(json.dumps(threads))
os.read(0, 1)
"""
SAID = {
    "holder": {"sleep"},
    "waiter": {"lock"},
    "other waiter": {"lock"},
    "reader": {"calls"},
    "sleeper": {"sleep"},
    "queue": {"idle"},
    "event": {"idle"},
    "pool": {"idle"},
    "main": {"calls"},
}
CELLS = 4


def watched(pid, seconds):
    """Read both probes at their rates, as the collector does, and hand over what the threads did."""
    judge = Correlator(info(pid=pid))
    with ThreadsProbe(lambda: [pid]) as threads, StacksProbe(lambda: [pid]) as stacks:
        due = {threads: 0.0, stacks: 0.0}
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            for probe, due_s in due.items():
                if now >= due_s:
                    due[probe] = now + probe.period_s
                    for record in probe.read(time.monotonic_ns()):
                        judge.feed(record)
            time.sleep(0.005)
    return judge.view()


@pytest.mark.skipif(os.geteuid() != 0, reason="what threads wait in may be read by root")
def test_planted_threads_do_what_they_were_made_to_do():
    with script(PLANTED) as (process, line):
        tids = json.loads(line)
        before = {name: schedstat_cpu_ns(process.pid, tids[name]) for name in ("busy", "other busy")}
        begun_ns = time.monotonic_ns()
        view = watched(process.pid, CELLS + 0.8)
        passed_ns = time.monotonic_ns() - begun_ns
        ran = {name: schedstat_cpu_ns(process.pid, tids[name]) - ns for name, ns in before.items()}
        count = len(list(Path(f"/proc/{process.pid}/task").iterdir()))
    assert len(view.threads) == count
    told = {name: next(one for one in view.threads if one.tid == tid) for name, tid in tids.items()}
    for name, doing in SAID.items():
        assert {told[name].doing} == doing, name
        assert {one.doing for one in told[name].past} == doing, name
        assert told[name].past[-1].spent[0][1] > 900_000_000, name
    _busy_ones_share_the_lock([told["busy"], told["other busy"]], ran, passed_ns)
    assert [told[name].stack[0].function for name in ("holder", "waiter")] == ["time.sleep", "lock.__enter__"]


def _busy_ones_share_the_lock(busy, ran, passed_ns):
    """Two threads that do nothing but compute: one has the lock, the other wants it, and each runs half of the time."""
    for one, ns in zip(busy, ran.values(), strict=True):
        assert {each.doing for each in one.past} <= {"on_cpu", "gil", "run_queue"}
        assert one.doing in ("on_cpu", "gil", "run_queue")
        assert one.cpu == pytest.approx(ns / passed_ns, abs=0.15)
    assert sum(one.gil for one in busy) > 0.8
    assert sum(one.holds_gil for one in busy) <= 1
