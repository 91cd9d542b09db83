"""The threads of real processes, against /proc read by others and against what the program knows of itself."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from ledgering import schedstat_cpu_ns, script
from sampling import open_descriptors

from perfwatch.probes.samples import ThreadsSample
from perfwatch.probes.threads import MAX_SHOWN, ThreadsProbe

THREADS = """
import os, socket, sys, threading, time
lock = threading.Lock(); lock.acquire()
one, other = socket.socketpair()
kinds = {"lock": lock.acquire, "sleep": lambda: time.sleep(60), "read": lambda: one.recv(1)}
for kind, count in zip(sys.argv[1::2], sys.argv[2::2]):
    for _ in range(int(count)):
        threading.Thread(target=kinds[kind], daemon=True).start()
print(one.fileno())
sys.stdin.read()
"""
UNPRIVILEGED = """
import json, sys, time
from perfwatch.probes.threads import ThreadsProbe
pid = int(sys.argv[1])
with ThreadsProbe(lambda: [pid]) as probe:
    said = probe.availability()
    sample, = probe.read(time.monotonic_ns())
    thread = sample.threads[0]
    print(json.dumps([said.status, said.lost, thread.state, thread.call, thread.run_ns]))
"""


def read(probe):
    return probe.read(time.monotonic_ns())


def settled(pid, count):
    """Read a process's threads until none of so many runs any more."""
    with ThreadsProbe(lambda: [pid]) as probe:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            (sample,) = read(probe)
            if len(sample.threads) == count and all(thread.state == "S" for thread in sample.threads):
                return sample
            time.sleep(0.05)
    raise AssertionError(sample)


def test_each_thread_says_what_it_waits_in():
    with script(THREADS, arguments=["lock", 11, "sleep", 7, "read", 5]) as (process, descriptor):
        sample = settled(process.pid, 24)
    assert isinstance(sample, ThreadsSample)
    assert sample.count == 24
    by_call = {}
    for thread in sample.threads:
        by_call.setdefault(thread.call, []).append(thread)
    assert len(by_call["futex"]) == 11
    assert len(by_call["clock_nanosleep"]) == 7
    assert [thread.fd for thread in by_call["recvfrom"]] == [int(descriptor)] * 5
    assert all("futex" in thread.wait_channel for thread in by_call["futex"])
    assert all(thread.fd is None for thread in by_call["futex"])


def test_figures_agree_with_schedstat_and_psutil():
    with script("import time\nprint('up')\nwhile True: time.sleep(0.001)") as (process, _):
        pid = process.pid
        with ThreadsProbe(lambda: [pid]) as probe:
            read(probe)
            cpu_ns, switches = schedstat_cpu_ns(pid, pid), psutil.Process(pid).num_ctx_switches()
            (sample,) = read(probe)
            (thread,) = sample.threads
            after = psutil.Process(pid).num_ctx_switches()
            assert cpu_ns <= thread.run_ns <= schedstat_cpu_ns(pid, pid)
            assert switches.voluntary <= thread.voluntary_switches <= after.voluntary
            assert switches.involuntary <= thread.involuntary_switches <= after.involuntary


def test_who_runs_comes_first_and_a_thread_that_slept_is_not_read_again():
    with script(THREADS, arguments=["lock", 5]) as (process, _):
        settled(process.pid, 6)
        with ThreadsProbe(lambda: [process.pid, os.getpid()]) as probe:
            first = {sample.pid: sample for sample in read(probe)}
            second = {sample.pid: sample for sample in read(probe)}
    assert second[os.getpid()].threads[0].state == "R"
    before = {thread.tid: thread for thread in first[process.pid].threads}
    assert all(before[thread.tid] is thread for thread in second[process.pid].threads)


def test_at_most_256_threads_are_shown_and_all_are_counted():
    with (
        script(THREADS, arguments=["lock", MAX_SHOWN + 20]) as (process, _),
        ThreadsProbe(lambda: [process.pid]) as probe,
    ):
        (sample,) = read(probe)
    assert sample.count == MAX_SHOWN + 21
    assert len(sample.threads) == MAX_SHOWN


def test_a_process_that_has_ended_is_left_out_and_nothing_stays_open():
    descriptors = open_descriptors()
    with script("print('up'); input()") as (process, _), ThreadsProbe(lambda: [process.pid]) as probe:
        assert len(read(probe)) == 1
        process.kill()
        process.wait()
        assert read(probe) == []
    assert open_descriptors() == descriptors


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv to become another user"
)
def test_another_users_threads_are_seen_without_what_they_wait_in():
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
    with script("import time; print('up'); time.sleep(60)") as (process, _):
        settled(process.pid, 1)
        done = subprocess.run(
            [*command, sys.executable, "-c", UNPRIVILEGED, str(process.pid)], capture_output=True, text=True, cwd="/"
        )
        if "Permission denied" in done.stderr or "ModuleNotFoundError" in done.stderr:
            pytest.skip("the interpreter of the tests may not be run by another user")
        assert done.returncode == 0, done.stderr
        said = done.stdout
        run_ns = int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0])
    assert said == f'["limited", "what its threads wait in: system calls and wait channels", "S", null, {run_ns}]\n'
