"""The sampled fidelity on real servers: requests by packets, threads by /proc, held against the servers' own clocks.

A request may stay unmatched; it must not be given to a wrong thread, nor its time to a wrong bucket.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import serving
from faults import surroundings
from ledgering import booked, latency_ns, requests_of, script
from sampling import Sampling, largest, open_descriptors, sampling, slow_of

from perfwatch.agent.target import interpreter_of
from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load
from perfwatch.probes.records import InFlight, ThreadTime
from perfwatch.probes.sampled.probe import SampledProbe

MOST = 0.5
"""Part of the slow requests that must be matched; what is matched must be right but for `WRONG`."""
WRONG = 0.1

needs_packets = pytest.mark.skipif(os.geteuid() != 0, reason="packets need CAP_NET_RAW")
pytestmark = [needs_packets, pytest.mark.flaky(reruns=1)]


@contextlib.contextmanager
def observed(server, *endpoints, seconds=3.0):
    """Load a server after some ordinary requests, and yield the records."""
    with sampling(server.pid) as reading:
        for _ in range(2):  # ordinary traffic with lulls, as a server has it
            with Load(server.address, [Endpoint(Call("/sleep/{n}?ms=30"), clients=5, pause_s=0.03)]) as warm:
                warm.wait(0.3)
            time.sleep(0.4)
        with Load(server.address, endpoints) as load:
            load.wait(seconds)
            load.stop()
        time.sleep(0.3)
    yield reading.records


def assert_threads(requests, address):
    """Where a thread is named, it is the one that the server says itself; returns how many were."""
    handled = [entry for entry in serving.truth(address) if entry.kind == "handler"]
    named = [request for request in requests if request.threads == "one" and request.tid != request.pid]
    for request in named:
        threads = {
            entry.tid
            for entry in handled
            if entry.path == request.target and request.arrived_ns <= entry.start_ns <= request.ended_ns
        }
        assert threads == {request.tid}, request
    return len(named)


def assert_right(requests, bucket):
    """Most are matched, and their largest bucket is the fault's.

    But for run_queue: where others take the CPUs away, that is the truth, and not the fault.
    """
    assert len(requests) >= 5
    matched = [request for request in requests if request.threads == "one"]
    assert len(matched) >= MOST * len(requests), [(request.target, request.threads) for request in requests]
    wrong = [(booked(request), request) for request in matched if largest(request) != bucket]
    assert len(wrong) <= WRONG * len(matched), wrong
    for request in requests:
        assert sum(request.booked_ns) <= latency_ns(request)
        assert request.fidelity == "sampled"


CASES = {
    "sleep": (Endpoint(Call("/sleep/{n}?ms=120"), clients=3, pause_s=0.05),),
    "cpu": (Endpoint(Call("/cpu/{n}?ms=120"), clients=1, pause_s=0.05),),
    "call-timeout": (Endpoint(Call("/call-timeout/{n}?ms=120"), clients=3, pause_s=0.05),),
    "child": (Endpoint(Call("/child/{n}?ms=120"), clients=2, pause_s=0.05),),
    "fsync": (Endpoint(Call("/fsync/{n}?ms=150"), clients=1, pause_s=0.05),),
    "gil": (Endpoint(Call("/gil/{n}?ms=200"), clients=1, pause_s=0.05),),
    "lock": (
        Endpoint(Call("/lock/{n}"), clients=1, pause_s=0.05),
        Endpoint(Call("/refresh/{n}?ms=250"), clients=1, pause_s=0.02),
    ),
}
QUICK = {"lock"}
BUCKETS_OF = {
    "sleep": "sleep",
    "cpu": "on_cpu",
    "call-timeout": "calls",
    "child": "child",
    "fsync": "disk",
    "gil": "gil",
    "lock": "lock",
}


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in CASES]
)
def test_a_slow_requests_time_goes_to_the_right_bucket(fault):
    with contextlib.ExitStack() as stack:
        environment = {}
        if fault == "call-timeout":
            environment = stack.enter_context(surroundings.slow_service())
        if fault == "fsync":
            environment = stack.enter_context(surroundings.disk_directory())
            stack.enter_context(surroundings.disk_hogs())
        server = stack.enter_context(serving.gunicorn("faulty:app", environment=environment))
        records = stack.enter_context(observed(server, *CASES[fault]))
        assert_threads(requests_of(records), server.address)
    slow = slow_of(records, f"/{fault}/")
    assert_right(slow, BUCKETS_OF[fault])
    if fault == "call-timeout":
        peers = {peer.address for request in slow for peer in request.peers}
        assert peers == {environment["FAULTY_PEER"]}


@pytest.mark.slow
def test_a_thread_per_connection_is_told_by_its_connection():
    endpoints = (
        Endpoint(Call("/lock/{n}"), clients=3, pause_s=0.05),
        Endpoint(Call("/refresh/{n}?ms=150"), clients=1, pause_s=0.02),
    )
    with serving.http_server() as server, observed(server, *endpoints) as records:
        assert_threads(requests_of(records), server.address)
    assert_right(slow_of(records, "/lock/"), "lock")
    assert_right(slow_of(records, "/refresh/"), "sleep")


@pytest.mark.slow
def test_the_only_thread_of_a_worker_serves_what_waits_for_it():
    endpoint = Endpoint(Call("/sleep/{n}?ms=100"), clients=3, pause_s=0.01)
    with serving.gunicorn("faulty:app", worker_class="sync") as server, observed(server, endpoint) as records:
        pass
    queued = [request for request in slow_of(records, "/sleep/", 180) if request.threads == "one"]
    assert len(queued) >= 5
    for request in queued:
        ledger = booked(request)
        assert abs(ledger["sleep"] - 100) < 15
        assert abs(ledger["queue"] - (latency_ns(request) / 1e6 - 100)) < 20


@pytest.mark.flaky(reruns=0)  # a wrong thread is a finding, however rare
def test_requests_that_do_different_things_at_the_same_time_are_never_swapped():
    endpoints = (
        Endpoint(Call("/sleep/{n}?ms=110"), clients=3, pause_s=0.02),
        Endpoint(Call("/cpu/{n}?ms=25"), clients=1, pause_s=0.1),
        Endpoint(Call("/call/{n}?ms=110"), clients=3, pause_s=0.02),
    )
    with (
        surroundings.slow_service() as environment,
        serving.gunicorn("faulty:app", environment=environment) as server,
        observed(server, *endpoints, seconds=4) as records,
    ):
        assert assert_threads(requests_of(records), server.address) >= 20
    requests = [request for request in requests_of(records) if request.threads == "one"]
    for request in requests:
        ledger = booked(request)
        if (request.target or "").startswith("/sleep"):
            assert ledger.get("calls", 0) < 20, request
        elif (request.target or "").startswith("/call"):
            assert ledger.get("sleep", 0) < 20, request


@pytest.mark.slow
def test_fast_requests_are_counted_and_not_matched_wrongly():
    endpoint = Endpoint(Call("/fast/{n}"), clients=4, pause_s=0.01)
    with serving.gunicorn("faulty:app") as server, observed(server, endpoint, seconds=2) as records:
        assert_threads(requests_of(records), server.address)
        sent = sum(
            entry.path.startswith("/fast/") and entry.kind == "handler" for entry in serving.truth(server.address)
        )
    fast = [request for request in requests_of(records) if (request.target or "").startswith("/fast/")]
    assert len(fast) >= 0.95 * sent


def test_a_hung_request_shows_what_it_waits_in():
    with serving.gunicorn("faulty:app") as server, sampling(server.pid) as reading:
        for _ in range(2):
            with Load(server.address, [Endpoint(Call("/sleep/{n}?ms=30"), clients=3, pause_s=0.05)]) as warm:
                warm.wait(0.3)
            time.sleep(0.4)
        with Load(server.address, [Endpoint(Call("/hung/{n}"))], timeout_s=20) as load:
            hung = reading.until(
                lambda records: [
                    request
                    for record in records
                    if isinstance(record, InFlight)
                    for request in record.requests
                    if (request.target or "").startswith("/hung/") and record.at_ns - request.started_ns > 1_000_000_000
                ]
            )
            load.stop(grace_s=0)
    assert (hung[-1].threads, hung[-1].state, hung[-1].call) == ("one", "lock", "futex")


def test_what_ended_before_the_threads_were_read_is_not_told():
    """On a machine without a CPU to spare, it may take a second until all other probes are open too."""
    with serving.gunicorn("faulty:app") as server, SampledProbe(server.pid, interpreter_of) as probe:
        serving.get(server.address, "/sleep/early?ms=50")
        records = [*probe.read(time.monotonic_ns())]
        reading = Sampling(probe)
        try:
            serving.get(server.address, "/sleep/late?ms=50")
            reading.until(requests_of)
        finally:
            records += reading.stop()
    assert [request.target for request in requests_of(records)] == ["/sleep/late"]


def test_a_short_session_has_thread_time_too():
    with script("import time; print('up'); time.sleep(60)") as (process, _), sampling(process.pid) as reading:
        time.sleep(0.3)
    (last,) = [record for record in reading.records if isinstance(record, ThreadTime)]
    assert last.threads == 1
    assert 0.2e9 < booked(last)["sleep"] * 1e6 < 1e9


def test_a_worker_that_is_killed_leaves_no_trace_and_no_file_open():
    descriptors = open_descriptors()
    with serving.gunicorn("faulty:app", workers=2) as server, sampling(server.pid) as reading:
        worker = max(reading.probe.pids - {server.pid})
        os.kill(worker, 9)
        changes = reading.until(
            lambda records: (
                {(record.change, record.pid == worker) for record in records if type(record).__name__ == "TargetChange"}
                >= {("exited", True), ("forked", False)}
            )
        )
        assert changes
        assert worker not in reading.probe.pids
    assert open_descriptors() == descriptors


UNPRIVILEGED = """
import json, sys, time
from perfwatch.agent.target import interpreter_of
from perfwatch.probes.records import BUCKETS, ThreadTime
from perfwatch.probes.sampled.probe import SampledProbe
with SampledProbe(int(sys.argv[1]), interpreter_of) as probe:
    said, end, times = probe.availability(), time.monotonic() + 3.3, []
    while time.monotonic() < end:
        times += [record for record in probe.read(time.monotonic_ns()) if isinstance(record, ThreadTime)]
        time.sleep(0.01)
    probe.drain(time.monotonic_ns())
last = times[-1]
print(json.dumps([said.status, said.lost, len(times), dict(zip(BUCKETS, last.booked_ns)), last.idle_ns]))
"""
THREADS = """
import os, threading, time
os.setuid(65534)
lock = threading.Lock(); lock.acquire()
threading.Thread(target=lambda: [time.sleep(0.05) for _ in range(2000)], daemon=True).start()
print('up'); time.sleep(60)
"""


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv to become another user")
def test_an_unprivileged_user_sees_the_threads_of_an_own_server():
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    source = THREADS.replace("os.setuid(65534)\n", "")
    prefix = [*command, sys.executable]
    if subprocess.run([*prefix, "-c", "import perfwatch.probes"], capture_output=True, cwd="/").returncode:
        pytest.skip("the interpreter of the tests may not be run by another user")
    target = subprocess.Popen([*prefix, "-u", "-c", source], stdout=subprocess.PIPE, cwd="/")
    try:
        target.stdout.readline()
        done = subprocess.run(
            [*prefix, "-c", UNPRIVILEGED, str(target.pid)], capture_output=True, text=True, cwd="/", timeout=30
        )
    finally:
        target.kill()
        target.wait()
        target.stdout.close()
    assert done.returncode == 0, done.stderr
    status, lost, count, ledger, _ = json.loads(done.stdout)
    assert (status, count >= 2) == ("limited", True)
    assert lost.startswith("requests")
    assert 1.7e9 < ledger["sleep"] < 2.1e9  # both threads, for a second
    assert sum(ledger.values()) - ledger["sleep"] < 0.2e9


def test_a_process_that_has_ended_is_unavailable_and_said_so():
    with script("print('up')") as (process, _):
        process.stdin.close()
        process.wait()
        probe = SampledProbe(process.pid, interpreter_of)
        assert probe.availability().status == "unavailable"
        with pytest.raises(Exception, match=r"not there|ended") as failure, probe:
            pass
    assert type(failure.value).__name__ == "Unavailable"


@pytest.mark.slow
def test_thread_time_adds_up_to_the_threads_time():
    with serving.gunicorn("faulty:app") as server, observed(server, *CASES["sleep"], seconds=3) as records:
        pass
    times = [record for record in records if isinstance(record, ThreadTime) and record.threads > 3]
    assert len(times) >= 3
    for record in times[1:]:
        whole_ns = record.threads * 1_000_000_000
        assert sum(record.booked_ns) + record.idle_ns <= whole_ns * 1.1
        assert sum(record.booked_ns) + record.idle_ns >= whole_ns * 0.7
