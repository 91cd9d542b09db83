"""The exact ledger on live servers that do what servers do: keep connections, stream, fork, crash, hang."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from ledgering import attached, await_unloaded, booked, latency_ns, requests_of, schedstat_cpu_ns, script

from perfwatch.probes.records import BUCKETS, InFlight, ListenerSample, TargetChange

pytestmark = pytest.mark.ledger

# A server that can be told, by the path, to misbehave. One thread a connection, like ThreadingHTTPServer.
SERVER = """
import os, socket, subprocess, sys, threading, time
family = socket.AF_UNIX if "/" in sys.argv[1] else socket.AF_INET
listener = socket.socket(family, socket.SOCK_STREAM)
listener.bind(sys.argv[1] if "/" in sys.argv[1] else ("127.0.0.1", 0))
listener.listen(16)
lock = threading.Lock()
OK = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"

def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass

def serve(client):
    while True:
        head = b""
        while b"\\r\\n\\r\\n" not in head:
            data = client.recv(65536)
            if not data:
                client.close()
                return
            head += data
        path = head.split()[1].decode().partition("?")[0]
        if path == "/stream":
            client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\nfirst")
            time.sleep(0.4)
            client.sendall(b"last")
            client.close()
            return
        if path == "/feed":
            client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\nfirst")
            threading.Event().wait(0.1)
            time.sleep(0.1)
            threading.Event().wait(0.1)
            client.sendall(b"last")
            client.close()
            return
        if path == "/body":
            client.sendall(b"HTTP/1.1 100 Continue\\r\\n\\r\\n")
            while not head.endswith(b"END"):
                head += client.recv(65536)
            client.sendall(OK)
            continue
        if path == "/drop":
            client.close()
            return
        if path == "/die":
            os._exit(3)
        if path == "/hang":
            threading.Event().wait()
        if path == "/sleep":
            time.sleep(0.05)
        if path == "/burn":
            burn(0.1)
        if path == "/locked":
            with lock:
                time.sleep(0.03)
        if path == "/child":
            subprocess.run(["sleep", "0.05"], check=True)
        if path == "/pipe":
            subprocess.check_output(["sleep", "0.05"])
        if path == "/thread":
            client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 8\\r\\n\\r\\n%-8d" % threading.get_native_id())
            continue
        if path == "/late":
            socket.create_server(("127.0.0.1", int(head.split()[1].decode().partition("?")[2]))).accept()[0].recv(1)
        client.sendall(OK)

print(listener.getsockname()[1] if family == socket.AF_INET else "unix", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


@pytest.fixture(name="server")
def start_server():
    with script(SERVER, arguments=["-"]) as (process, port):
        yield process, int(port)


def connect(port):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    client.connect()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def get(client, path):
    client.request("GET", path)
    response = client.getresponse()
    return response.status, response.read()


def get_at_once(port, path, count):
    clients = [connect(port) for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(get, clients, [path] * count))
    for client in clients:
        client.close()


def test_every_request_is_seen_once_and_adds_up(server):
    process, port = server
    with attached(process.pid) as ledger:
        clients = [connect(port) for _ in range(5)]
        for client in clients * 20:
            assert get(client, "/item/7?token=secret")[0] == 200
        served = ledger.served(100)
        for client in clients:
            client.close()
        ledger.until(lambda _: True)
    assert len(requests_of(ledger.records)) == 100
    assert {(each.method, each.target, each.status) for each in served} == {("GET", "/item/7", 200)}
    assert {each.outcome for each in served} == {"answered"}
    assert all(sum(each.booked_ns) == latency_ns(each) for each in served)
    assert len({each.connection for each in served}) == 5
    assert all(each.arrived_ns <= each.started_ns < each.ended_ns for each in served)


@pytest.mark.parametrize(
    ("path", "bucket", "least_ms"),
    [("/sleep", "sleep", 49), ("/child", "child", 45), ("/pipe", "child", 45), ("/burn", "on_cpu", 99)],
)
def test_a_wait_is_booked_for_what_it_is(server, path, bucket, least_ms):
    process, port = server
    with attached(process.pid) as ledger:
        client = connect(port)
        get(client, path)
        client.close()
        (request,) = ledger.served(1)
    assert booked(request)[bucket] >= least_ms
    assert all(
        ms <= 5 for other, ms in booked(request).items() if other not in {bucket, "queue", "run_queue", "on_cpu"}
    )
    assert sum(request.booked_ns) == latency_ns(request)


def test_who_held_the_lock_is_named_and_a_timer_is_not(server):
    process, port = server
    with attached(process.pid) as ledger:
        get_at_once(port, "/locked", 2)
        served = ledger.served(2)
    first, second = sorted(served, key=lambda each: each.ended_ns)
    (lock,) = [wait for wait in second.waits if wait.bucket == "lock"]
    assert lock.call == "futex"
    assert int(lock.detail, 16) > 0
    assert (lock.waker.pid, lock.waker.tid, lock.waker.request) == (process.pid, first.tid, first.id)
    (nap,) = [wait for wait in first.waits if wait.bucket == "sleep"]
    assert nap.waker is None  # a timer's interrupt runs on whatever thread was there
    assert nap.blocked_ns == pytest.approx(30e6, rel=0.05)


def test_cpu_time_is_the_schedulers(server):
    process, port = server
    with attached(process.pid) as ledger:
        client = connect(port)
        tid = int(get(client, "/thread")[1])
        before = schedstat_cpu_ns(process.pid, tid)
        for _ in range(5):
            get(client, "/burn")
        spent = schedstat_cpu_ns(process.pid, tid) - before
        client.close()
        served = ledger.served(6)[1:]
    assert {each.tid for each in served} == {tid}
    assert sum(booked(each)["on_cpu"] for each in served) * 1e6 == pytest.approx(spent, rel=0.02)


def test_a_streamed_answer_is_closed_provisionally_and_corrected(server):
    process, port = server
    with attached(process.pid) as ledger:
        client = connect(port)
        thread = threading.Thread(target=get, args=(client, "/stream"))
        thread.start()
        (early,) = ledger.served(1)
        assert early.waits == ()
        thread.join()
        client.close()
        (late,) = ledger.until(
            lambda records: [each for each in requests_of(records) if latency_ns(each) > 0.39e9 and each.id == early.id]
        )
    assert latency_ns(early) < 0.1e9
    assert booked(late)["sleep"] == pytest.approx(400, rel=0.02)
    assert [wait.bucket for wait in late.waits] == ["sleep"]
    assert sum(late.booked_ns) == latency_ns(late)


def test_a_stream_that_waits_as_idle_threads_do_is_never_booked_wrongly(server):
    """After an answer a thread that blocks on a lock is left alone, for most often it idles. This one goes on."""
    process, port = server
    with attached(process.pid) as ledger:
        for _ in range(2):
            client = connect(port)
            get(client, "/feed")
            client.close()
        first, second = ledger.until(
            lambda records: (
                len(feeds := [each for each in requests_of(records) if latency_ns(each) > 0.29e9]) == 2 and feeds
            )
        )
    assert latency_ns(first) >= sum(first.booked_ns)  # the first time: unknown, not wrong
    assert booked(first).get("lock", 0) < 5
    assert sum(second.booked_ns) == latency_ns(second)  # from then on it is followed
    assert booked(second)["lock"] == pytest.approx(200, rel=0.05)
    assert booked(second)["sleep"] == pytest.approx(100, rel=0.05)
    assert [wait.bucket for wait in second.waits] == ["lock", "sleep", "lock"]


def test_an_interim_answer_does_not_end_a_request(server):
    process, port = server
    with attached(process.pid) as ledger:
        client = connect(port)
        client.sock.sendall(b"POST /body HTTP/1.1\r\nExpect: 100-continue\r\n\r\n")
        assert b"100" in client.sock.recv(100)
        client.sock.sendall(b"x" * 1000)
        ledger.until(lambda records: any(isinstance(each, InFlight) and is_old(each, 0.15e9) for each in records))
        client.sock.sendall(b"END")
        assert b"200" in client.sock.recv(100)
        client.close()
        (request,) = ledger.served(1)
    assert (request.method, request.target, request.status) == ("POST", "/body", 200)
    assert request.received_bytes == len(b"POST /body HTTP/1.1\r\nExpect: 100-continue\r\n\r\n") + 1003
    assert booked(request)["receive"] > 100


def test_an_unanswered_request_is_aborted_and_a_crash_is_told(server):
    process, port = server
    with attached(process.pid) as ledger:
        client = connect(port)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            get(client, "/drop")
        client.close()
        (dropped,) = ledger.served(1)
        client = connect(port)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            get(client, "/die")
        client.close()
        died = ledger.served(2)[1]
        ledger.until(lambda records: any(isinstance(each, TargetChange) and each.change == "gone" for each in records))
    assert (dropped.outcome, dropped.status) == ("aborted", None)
    assert (died.outcome, died.status, died.target) == ("died", None, "/die")


def test_a_hung_request_shows_while_it_hangs(server):
    process, port = server
    with attached(process.pid) as ledger:
        client = connect(port)
        client.sock.sendall(b"GET /hang HTTP/1.1\r\n\r\n")
        flight = ledger.until(
            lambda records: [each for each in records if isinstance(each, InFlight) and is_old(each, 0.5e9)]
        )[0]
        (hung,) = flight.requests
        client.close()
    assert (hung.method, hung.target, hung.state, hung.call) == ("GET", "/hang", "lock", "futex")
    assert hung.booked_ns[BUCKETS.index("lock")] > 0.4e9
    assert sum(hung.booked_ns) == pytest.approx(flight.at_ns - hung.arrived_ns, rel=0.01)


def is_old(flight, age_ns):
    return flight.count == 1 and flight.at_ns - flight.requests[0].started_ns > age_ns


def test_connections_from_before_the_attaching_count(server):
    process, port = server
    client = connect(port)
    get(client, "/before")
    with attached(process.pid) as ledger:
        get(client, "/after")
        client.close()
        (request,) = ledger.served(1)
    assert request.target == "/after"
    assert request.arrived_ns is not None


def test_unix_sockets_count_the_same(tmp_path):
    path = str(tmp_path / "s.sock")
    with script(SERVER, arguments=[path]) as (process, _), attached(process.pid) as ledger:
        assert ledger.probe.listeners() == [f"unix:{path}"]
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(b"GET /sleep HTTP/1.1\r\n\r\n")
                assert client.recv(100).endswith(b"ok")
        served = ledger.served(2)
    assert all(each.local == f"unix:{path}" and each.arrived_ns for each in served)
    assert all(booked(each)["sleep"] > 50 and sum(each.booked_ns) == latency_ns(each) for each in served)


def test_a_listener_opened_later_and_its_backlog_are_seen(server):
    process, port = server
    with socket.create_server(("127.0.0.1", 0)) as free:
        late = free.getsockname()[1]
    with attached(process.pid) as ledger:
        client = connect(port)
        client.sock.sendall(f"GET /late?{late} HTTP/1.1\r\n\r\n".encode())
        ledger.until(
            lambda records: any(
                isinstance(each, ListenerSample) and each.address.endswith(f":{late}") for each in records
            )
        )
        client.close()
    assert f"127.0.0.1:{late}" in {each.address for each in ledger.records if isinstance(each, ListenerSample)}


FORKING = (
    SERVER.rpartition("print(")[0]
    + """
print(listener.getsockname()[1], flush=True)
for worker in range(2):
    if os.fork() == 0:
        while True:
            serve(listener.accept()[0])
sys.stdin.readline()
if os.fork() == 0:
    while True:
        serve(listener.accept()[0])
os.wait()
"""
)


def test_forked_workers_join_by_themselves():
    with script(FORKING, arguments=["-"]) as (process, port):
        with attached(process.pid) as ledger:
            held = [connect(int(port)) for _ in range(2)]
            for client in held:  # the two workers there are
                get(client, "/x")
            process.stdin.write("fork\n")
            process.stdin.flush()
            (fork,) = ledger.until(
                lambda records: [each for each in records if isinstance(each, TargetChange) and each.change == "forked"]
            )
            client = connect(int(port))  # only the third is free
            get(client, "/burn")
            served = ledger.served(3)
            (last,) = [each for each in served if each.target == "/burn"]
            assert last.pid == fork.pid
            assert len({each.pid for each in served} - {process.pid}) == 3
            assert booked(last)["on_cpu"] > 90
            for each in (*held, client):
                each.close()
        for pid in {each.pid for each in served}:
            os.kill(pid, signal.SIGKILL)


EVENT_LOOP = """
import asyncio
async def serve(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    await asyncio.sleep(0.2)
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def test_requests_that_share_an_event_loop_are_followed_from_the_second_on():
    """What is read first was read before its thread was known to be a loop."""
    with script(EVENT_LOOP) as (process, port), attached(process.pid) as ledger:
        get_at_once(int(port), "/first", 3)
        get_at_once(int(port), "/shared", 3)
        served = ledger.served(6)
    assert all(latency_ns(each) == pytest.approx(0.2e9, rel=0.1) for each in served)
    first, then = ([each for each in served if each.target == target] for target in ("/first", "/shared"))
    assert {each.threads for each in first} <= {"shared", "followed"}
    assert {each.threads for each in then} == {"followed"}
    assert all(
        booked(each).get("sleep", 0) + booked(each).get("other", 0) == pytest.approx(200, rel=0.1) for each in then
    )
    assert all(abs(sum(each.booked_ns) - latency_ns(each)) <= 0.02 * latency_ns(each) for each in then)


def test_two_threads_and_the_interpreter_lock(server):
    process, port = server
    with attached(process.pid) as ledger:
        get_at_once(port, "/burn", 3)
        served = ledger.served(3)
    # Who waits for it before its first read, in accept or a thread's start, has that in `queue`.
    assert all(booked(each)["on_cpu"] >= 99 for each in served)
    assert sum(booked(each).get("gil", 0) for each in served) > 80
    assert not any("lock" in booked(each) for each in served)


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 200,
        b"\0" * 100,
        b"\x17\x03\x03\x00\x40" + b"\xd1" * 64,
        b"get / HTTP/1.1\r\n\r\n",
        b" " * 300,
    ],
)
def test_what_is_not_http_is_no_request(server, junk):
    process, port = server
    with attached(process.pid) as ledger:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(junk)
        client = connect(port)
        get(client, "/" + "a" * 2000)
        client.close()
        (request,) = ledger.served(1)
    assert request.target == "/" + "a" * 250 + "…"


def test_nothing_is_left_and_the_target_serves_on(server):
    process, port = server
    client = connect(port)
    with attached(process.pid):
        get(client, "/x")
    assert get(client, "/x")[0] == 200
    client.close()
    await_unloaded()


def test_after_kill_nothing_is_left_and_the_target_serves_on(server):
    process, port = server
    watcher = """
import sys, time
from perfwatch.agent.target import interpreter_of
from perfwatch.probes.ledger.probe import LedgerProbe
with LedgerProbe(int(sys.argv[1]), interpreter_of) as probe:
    print("attached", flush=True)
    while True:
        probe.read(time.monotonic_ns())
"""
    client = connect(port)
    with script(watcher, arguments=[process.pid]) as (perfwatch, line):
        assert line == "attached"
        get(client, "/x")
        perfwatch.kill()
    await_unloaded()
    assert get(client, "/x")[0] == 200
    client.close()
