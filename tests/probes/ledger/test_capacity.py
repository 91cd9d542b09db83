"""The run queue told apart: whom a thread queued behind, and what of it was its cgroup's quota; depths of sockets."""

import os
import socket
import threading
from http.client import HTTPConnection

import pytest
from cgroups import cgroup, join, quota
from ledgering import attached, booked, script

from perfwatch.probes.records import ListenerSample

pytestmark = pytest.mark.ledger
SERVER = """
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        end = time.thread_time() + 0.03
        while time.thread_time() < end:
            pass
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1])
server.serve_forever()
"""
SPINNER = """
import sys, time
until = time.monotonic() + 60
open("/proc/self/comm", "w").write("spin) R 1")
print("ready", flush=True)
while time.monotonic() < until and sys.stdin:
    pass
"""
READER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1])
connection, _ = listener.accept()
sys.stdin.readline()
connection.recv(100)
connection.sendall(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")
sys.stdin.readline()
"""


def throttled_ns(group):
    """What the kernel says: all the time that the group was throttled."""
    return dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())["throttled_time"]


def send_requests(port, count):
    connection = HTTPConnection("127.0.0.1", int(port))
    for number in range(count):
        connection.request("GET", f"/{number}")
        connection.getresponse().read()
    connection.close()


def test_the_throttling_of_requests_adds_up_to_the_kernels_own():
    with cgroup("cpu", quota(0.2)) as group, script(SERVER) as (process, port):
        join(process.pid, group)
        with attached(process.pid) as ledger:
            before_ns = int(throttled_ns(group))
            client = threading.Thread(target=send_requests, args=(port, 25))
            client.start()
            requests = ledger.served(25)
            client.join()
            kernel_ns = int(throttled_ns(group)) - before_ns

    ours_ns = sum(request.throttled_ns for request in requests)
    assert kernel_ns > 0.3e9  # more where the machine has the CPU that the quota allows
    assert ours_ns == pytest.approx(kernel_ns, rel=0.1)
    for request in requests:
        waits_ns = sum(wait.throttled_ns for wait in request.waits)
        assert (
            request.throttled_ns * 0.95 <= waits_ns <= request.throttled_ns <= booked(request).get("run_queue", 0) * 1e6
        )


def test_a_thread_without_a_quota_is_never_throttled():
    with script(SERVER) as (process, port), attached(process.pid) as ledger:
        send_requests(port, 5)
        assert {request.throttled_ns for request in ledger.served(5)} == {0}


def test_who_had_the_cpu_while_a_thread_waited_for_it_is_named():
    with script(SERVER) as (process, port), script(SPINNER) as (spinner, _):
        for pid in (process.pid, spinner.pid):
            os.sched_setaffinity(pid, {0})
        with attached(process.pid) as ledger:
            send_requests(port, 10)
            waits = [wait for request in ledger.served(10) for wait in request.waits if wait.runnable_ns >= 1_000_000]

    named = [wait.ahead for wait in waits if wait.ahead]
    assert len(named) >= 0.8 * len(waits) > 0
    assert {ahead.name for ahead in named if ahead.pid == spinner.pid} == {"spin) R 1"}


def test_a_burst_between_two_samples_is_seen_by_the_read_that_found_it():
    with (
        script(READER) as (process, port),
        attached(process.pid) as ledger,
        socket.create_connection(("127.0.0.1", int(port))) as client,
    ):
        client.sendall(b"POST /x HTTP/1.1\r\nContent-Length: 20000\r\n\r\n".ljust(20_000, b"x"))
        process.stdin.write("read\n")
        process.stdin.flush()
        client.recv(100)
        assert ledger.until(deepest_read) == 20_000


def deepest_read(records):
    """Return how much the fullest receive queue held when it was read."""
    return max((record.recv_q_bytes or 0 for record in records if isinstance(record, ListenerSample)), default=0)
