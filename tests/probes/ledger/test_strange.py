"""The ledger where things are not as usual: loops, other protocols, processes that come and go, neighbours."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time

import pytest
from ledgering import attached, booked, latency_ns, requests_of, script

from perfwatch.probes.ledger import probe as ledger_probe
from perfwatch.probes.records import ListenerSample, Loss, TargetChange

pytestmark = pytest.mark.ledger
GET = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"

LOOP = """
import asyncio, time
async def serve(reader, writer):
    while await reader.readline():
        while await reader.readline() != b"\\r\\n":
            pass
        WORK
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        await writer.drain()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream = await asyncio.open_connection(*server.sockets[0].getsockname())
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
HANDING_OVER = """
import select, socket, threading, time
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
waker, woken = socket.socketpair()
clients = []
def work():
    end = time.thread_time() + 0.1
    while time.thread_time() < end:
        pass
    waker.send(b"x")
while True:
    for ready in select.select([listener, woken, *clients], [], [])[0]:
        if ready is listener:
            clients.append(ready.accept()[0])
        elif ready is woken:
            woken.recv(1)
            clients[0].sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        elif ready.recv(1000):
            threading.Thread(target=work).start()
        else:
            clients.remove(ready)
"""


LOOPS = 24
MANY_LOOPS = """
import os, select, socket, sys, threading, time
def loop(listener):
    poll, clients, asked, due_s = select.epoll(), {}, None, None
    kept = [os.pipe() for _ in range(4)]
    for file in (listener, *(end for end, _ in kept)):
        poll.register(file, select.EPOLLIN)
    while True:
        ready = poll.poll(None if due_s is None else max(due_s - time.monotonic(), 0))
        if not ready and asked:
            asked.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
            asked = due_s = None
        for number, _ in ready:
            if number == listener.fileno():
                client = listener.accept()[0]
                clients[client.fileno()] = client
                poll.register(client, select.EPOLLIN)
            elif clients[number].recv(1000):
                asked, due_s = clients[number], time.monotonic() + 0.02
            else:
                poll.unregister(number)
                clients.pop(number).close()
listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
for listener in listeners:
    threading.Thread(target=loop, args=(listener,)).start()
print(*(listener.getsockname()[1] for listener in listeners), flush=True)
"""


def test_a_loop_is_one_whatever_its_epoll_looks_like(monkeypatch):
    """What an epoll watches is a tree of which the upper levels are looked at; how deep one lies is left to chance."""
    monkeypatch.setattr(ledger_probe, "waiting_for_events", lambda *_: [])  # as where it was busy at that moment
    with (
        script(MANY_LOOPS, arguments=[str(LOOPS)]) as (process, ports),
        attached(process.pid) as ledger,
        contextlib.ExitStack() as stack,
    ):
        for port in map(int, ports.split()):
            client, _ = (stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(2))
            for _ in range(3):
                client.sendall(GET)
                assert client.recv(1000).endswith(b"ok")
        served = ledger.served(3 * LOOPS)
    last = {record.connection: record for record in served}
    assert len(last) == LOOPS
    assert [record.threads for record in last.values()] == ["followed"] * LOOPS


@pytest.mark.parametrize(
    ("source", "bucket"),
    [
        (LOOP.replace("WORK", "await asyncio.sleep(0.1)"), "sleep"),
        (LOOP.replace("WORK", "await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.1)"), "sleep"),
        (HANDING_OVER, "on_cpu"),
    ],
    ids=["loop", "executor", "handing-over"],
)
def test_a_loop_with_one_request_at_a_time_is_a_loop_still(source, bucket):
    with script(source) as (process, port), attached(process.pid) as ledger:
        with socket.create_connection(("127.0.0.1", int(port))) as client:
            for _ in range(3):
                client.sendall(GET)
                assert client.recv(1000).endswith(b"ok")
        first, *others = ledger.served(3)
    assert first.threads in {"shared", "followed"}
    assert {each.threads for each in others} == {"followed"}
    assert all(latency_ns(each) > 0.09e9 and booked(each)[bucket] > 90 for each in others)


SERVING = """
import os, socket, subprocess, sys, threading, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
def serve(client):
    while client.recv(1000):
        client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    client.close()
def accept():
    print(listener.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],)).start()
BEGIN
"""
IN_MAIN = SERVING.replace("BEGIN", "accept()")


def ask(port, count=1):
    with socket.create_connection(("127.0.0.1", int(port))) as client:
        for _ in range(count):
            client.sendall(GET)
            assert client.recv(1000).endswith(b"ok")


def test_an_upgraded_connection_is_one_short_request():
    source = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
client = listener.accept()[0]
client.recv(1000)
client.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\n\\r\\n")
while data := client.recv(1000):
    client.sendall(data)
"""
    with script(source) as (process, port), attached(process.pid) as ledger:
        with socket.create_connection(("127.0.0.1", int(port))) as client:
            client.sendall(GET)
            client.recv(1000)
            (upgraded,) = ledger.served(1)
            for _ in range(5):
                client.sendall(b"\x81\x05frame")
                client.recv(1000)
                ledger.records += ledger.probe.read(time.monotonic_ns())
        process.wait(10)
        ledger.until(lambda records: any(isinstance(each, TargetChange) and each.change == "gone" for each in records))
    assert upgraded.status == 101
    assert requests_of(ledger.records) == [upgraded]
    assert not [each for each in ledger.records if isinstance(each, Loss)]


def test_a_protocol_that_is_not_followed_is_said():
    with script(IN_MAIN, arguments=[0]) as (process, port), attached(process.pid) as ledger:
        with socket.create_connection(("127.0.0.1", int(port))) as client, contextlib.suppress(OSError):
            context = ssl.create_default_context()
            context.wrap_socket(client, server_hostname="x")
        (loss,) = ledger.until(lambda records: [each for each in records if isinstance(each, Loss)])
    assert "TLS" in loss.reason


def test_a_neighbours_backlog_at_the_same_port_is_not_the_targets():
    with (
        script(IN_MAIN, arguments=[0]) as (process, port),
        attached(process.pid) as ledger,
        socket.create_server(("127.0.0.2", int(port)), backlog=50),
        contextlib.ExitStack() as stack,
    ):
        for _ in range(30):
            stack.enter_context(socket.create_connection(("127.0.0.2", int(port))))
        ask(port)
        ledger.served(1)
        end = time.monotonic() + 1.2  # more than the period of the samples
        ledger.until(lambda _: time.monotonic() > end)
    samples = [each for each in ledger.records if isinstance(each, ListenerSample)]
    assert samples
    assert max(each.backlog for each in samples) < 5


CHURN = SERVING.replace(
    "BEGIN",
    """
threading.Thread(target=accept, daemon=True).start()
sys.stdin.readline()
for _ in range(300):
    subprocess.run(["/bin/true"], check=True)
print("churned", flush=True)
sys.stdin.readline()
""",
)


def test_processes_that_come_and_go_leave_nothing():
    with script(CHURN, arguments=[0]) as (process, port), attached(process.pid) as ledger:
        process.stdin.write("go\n")
        process.stdin.flush()
        ready = threading.Event()
        threading.Thread(target=lambda: (process.stdout.readline(), ready.set()), daemon=True).start()
        ledger.until(lambda _: ready.is_set(), 60)
        ask(port)
        ledger.served(1)
        ledger.until(lambda _: ledger.probe.pids == {process.pid})
        assert len(list(ledger.probe._targets.entries())) == 1
        process.stdin.write("end\n")
        process.stdin.flush()


def test_answered_requests_do_not_pile_up(tmp_path):
    path = str(tmp_path / "s.sock")
    source = IN_MAIN.replace(
        'socket.create_server(("127.0.0.1", int(sys.argv[1])))', "socket.socket(socket.AF_UNIX)"
    ).replace("def serve", "listener.bind(sys.argv[1]); listener.listen(9)\ndef serve")
    source = source.replace("listener.getsockname()[1]", "'ready'")
    with script(source, arguments=[path]) as (process, _), attached(process.pid) as ledger:
        for _ in range(200):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(GET)
                assert client.recv(1000).endswith(b"ok")
        assert len(ledger.served(200)) == 200
        ledger.until(lambda _: len(list(ledger.probe._requests.entries())) < 5)


LEADER_EXITS = SERVING.replace(
    "BEGIN",
    """
import ctypes
print("ready", flush=True)
sys.stdin.readline()
threading.Thread(target=accept).start()
ctypes.CDLL(None).pthread_exit(None)
""",
)
THREAD_EXECUTES = SERVING.replace(
    "BEGIN",
    """
if "again" not in sys.argv:
    listener.close()
    print("ready", flush=True)
    sys.stdin.readline()
    command = [sys.executable, "-uc", sys.orig_argv[-2], "0", "again"]
    threading.Thread(target=os.execv, args=(sys.executable, command)).start()
    time.sleep(60)
accept()
""",
)


@pytest.mark.parametrize("source", [LEADER_EXITS, THREAD_EXECUTES], ids=["leader-exits", "thread-executes"])
def test_a_process_is_its_threads_not_its_first_one(source):
    with script(source, arguments=["0"]) as (process, line), attached(process.pid) as ledger:
        assert line == "ready"
        process.stdin.write("go\n")
        process.stdin.flush()
        ask(process.stdout.readline())
        (request,) = ledger.served(1)
    assert request.pid == process.pid


def test_a_target_that_has_ended_is_gone():
    process = subprocess.Popen(["true"])
    with attached(process.pid) as ledger:
        process.wait()
        (gone,) = ledger.until(
            lambda records: [each for each in records if isinstance(each, TargetChange) and each.change == "gone"]
        )
    assert str(process.pid) in gone.detail
