"""The probe that listens to the middleware, against processes that send what they like."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import telling
from ledgering import script
from sampling import open_descriptors

from perfwatch.probes.errors import Vanished
from perfwatch.probes.readers.doors import VARIABLE
from perfwatch.probes.records import Loss
from perfwatch.probes.spans import MAX_PER_PROCESS, MAX_TREES, READING_NS, SpansProbe

SENDER = """
import array, json, os, socket, sys, time
path = os.environ["PERFWATCH_SOCKET"]
def call():
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line.connect(path)
    return line
def span(target, **changes):
    now = time.monotonic_ns()
    told = dict(perfwatch=1, started_ns=now - 1000, ended_ns=now, tid=os.getpid(), target=target)
    return json.dumps({**told, **changes}).encode()
def is_closed(line):
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True
def fill(line):
    try:
        while True:
            line.send(message, socket.MSG_DONTWAIT)
    except BlockingIOError:
        pass
print("ready")
for order in sys.stdin:
    exec(json.loads(order))
    print("done", flush=True)
"""
MIDDLEWARE = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import perfwatch_middleware
app = perfwatch_middleware.PerfwatchWSGI(lambda environ, start: [b""])
def serve(path):
    body = app({"REQUEST_METHOD": "GET", "PATH_INFO": path}, None)
    getattr(body, "close", list)()
if sys.argv[2:]:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
print("ready")
while True:
    serve("/from-%d" % os.geteuid())
    time.sleep(0.02)
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user, and for namespaces")


@pytest.fixture(autouse=True)
def choose_place(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "perfwatch" / "spans.sock"))


class Sender:
    """A process that does as it is told."""

    def __init__(self, process):
        self.pid = process.pid
        self._process = process

    def does(self, order):
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"


@contextlib.contextmanager
def sender():
    with script(SENDER) as (process, _):
        yield Sender(process)


def losses(records):
    return {record.reason: record.lost for record in records if isinstance(record, Loss)}


def test_a_process_of_the_tree_is_heard_and_nothing_is_left(tmp_path):
    before = open_descriptors()
    with sender() as one, telling.listening(one.pid) as heard:
        one.does("line = call(); line.send(span('/first')); line.send(span('/second', dropped=7))")
        first, second = heard.spans(2)
        assert (first.pid, first.tid, first.target, second.target) == (one.pid, one.pid, "/first", "/second")
        assert losses(heard.records) == {"the middleware could not send them: its socket was full": 7}
    assert not list(tmp_path.iterdir())
    assert open_descriptors() == before


def test_anybody_else_is_not_heard_and_hung_up_on():
    with sender() as one, sender() as other, telling.listening(one.pid) as heard:
        other.does("line = call(); line.send(span('/forged'))")
        one.does("line = call(); line.send(span('/own'))")
        assert [span.target for span in heard.spans(1)] == ["/own"]
        other.does("assert is_closed(line)")
        assert losses(heard.records) == {}


def test_who_made_a_connection_cannot_lend_it():
    with sender() as one, SpansProbe(lambda: {one.pid}) as probe:
        heard = telling.Listening(probe)
        one.does("line = call(); line.send(span('/own'))")
        heard.spans(1)
        one.does("os.fork() or (line.send(span('/lent')), os._exit(0)); os.wait()")
        heard.until(lambda _: not probe._senders)
        one.does("assert is_closed(line)")
        assert [span.target for span in telling.spans_of(heard.records)] == ["/own"]


def test_what_is_no_span_is_counted_and_what_follows_is_heard():
    with sender() as one, telling.listening(one.pid) as heard:
        one.does("line = call(); line.send(b'{}'); line.send(b'x' * 100_000); line.send(span('/x', ended_ns=1 << 61))")
        one.does("line.send(span('/good'))")
        assert heard.spans(1)[0].target == "/good"
        assert losses(heard.records) == {
            "not a span": 1,
            "a message that is too long": 1,
            "a span that has not ended": 1,
        }


def test_descriptors_that_are_sent_along_are_not_taken():
    with sender() as one, telling.listening(one.pid) as heard:
        one.does("line = call(); line.send(span('/first'))")
        heard.spans(1)
        before = open_descriptors()
        one.does("some = array.array('i', [0, 1, 2] * 10)")
        one.does("line.sendmsg([span('/second')], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, some)])")
        assert heard.spans(2)[1].target == "/second"
        assert open_descriptors() == before


def test_a_flood_takes_a_bounded_time_and_keeps_nobody_else_from_being_heard():
    frames, stacks = [[f"f{number}", "file", 1, False] for number in range(1000)], [list(range(100))] * 10
    tree = f"frames={frames}, stacks={stacks}, spent_ns={[1] * 10}"
    with sender() as one, sender() as flood, SpansProbe(lambda: {one.pid, flood.pid}) as probe:
        flood.does(f"lines = [call() for _ in range({MAX_PER_PROCESS})]; message = span('/flood', {tree})")
        one.does("line = call()")
        heard = telling.Listening(probe)
        spent_ns = []
        for number in range(20):
            flood.does("for line in lines: fill(line)")
            one.does(f"line.send(span('/{number}'))")
            before_ns = time.thread_time_ns()
            heard.records += probe.read(time.monotonic_ns())
            spent_ns.append(time.thread_time_ns() - before_ns)
            flooding = {span.target for span in telling.spans_of(heard.records)}
        own = [span.target for span in telling.spans_of(heard.records) if span.pid == one.pid]
    assert own == [f"/{number}" for number in range(20)]
    assert "/flood" in flooding
    assert 0 < sum(bool(span.spent_ns) for span in telling.spans_of(heard.records)) <= 2 * MAX_TREES
    assert sorted(spent_ns)[len(spent_ns) // 2] < 3 * READING_NS


def test_no_process_takes_more_than_its_share_of_connections():
    with sender() as one, telling.listening(one.pid) as heard:
        one.does(f"lines = [call() for _ in range({MAX_PER_PROCESS + 1})]; lines[0].send(span('/x'))")
        heard.spans(1)
        one.does("assert is_closed(lines[-1])")
        one.does("lines[1].close()")
        heard.until(lambda _: len(heard.probe._senders) == MAX_PER_PROCESS - 1)
        one.does("line = call(); line.send(span('/y'))")
        assert heard.spans(2)[1].target == "/y"


def test_without_a_target_there_is_nobody_to_listen_to():
    with pytest.raises(Vanished), SpansProbe(tuple):
        pass
    with pytest.raises(Vanished), SpansProbe(lambda: [1 << 22]):
        pass


@as_root
def test_a_worker_that_gives_up_being_root_is_heard(monkeypatch):
    monkeypatch.delenv(VARIABLE)
    with (
        script(MIDDLEWARE, arguments=[telling.MIDDLEWARE]) as (root, _),
        script(MIDDLEWARE, arguments=[telling.MIDDLEWARE, "nobody"]) as (nobody, _),
    ):
        tree = {root.pid}
        with SpansProbe(lambda: tree) as probe:
            heard = telling.Listening(probe)
            heard.spans(1)
            tree.add(nobody.pid)
            found = heard.until(
                lambda records: (
                    {span.pid: span.target for span in telling.spans_of(records)}.keys() >= tree
                    and telling.spans_of(records)
                )
            )
            assert {(span.pid, span.target) for span in found} == {(root.pid, "/from-0"), (nobody.pid, "/from-65534")}
            assert Path("/tmp/perfwatch-65534/spans.sock").stat().st_uid == 65534
    assert not Path("/tmp/perfwatch-65534").exists()


@as_root
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_a_server_in_a_container_is_heard_and_its_threads_are_not_confused(monkeypatch):
    monkeypatch.delenv(VARIABLE)
    source = f"""
import os, sys
sys.path.insert(0, {str(telling.MIDDLEWARE)!r}); import perfwatch_middleware
os.system("mount -t tmpfs -o mode=1777 none /tmp")
sys.argv[1:] = [""]
"""
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", sys.executable, "-c", source + MIDDLEWARE]
    with subprocess.Popen([*command[:-1], command[-1]], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            (inside,) = psutil.Process(process.pid).children()
            with SpansProbe(lambda: {inside.pid}) as probe:
                span = telling.Listening(probe).spans(1)[0]
            assert (span.pid, span.tid, span.target) == (inside.pid, None, "/from-0")
        finally:
            process.kill()


def test_everything_of_a_message_may_be_as_long_as_the_middleware_makes_it():
    longest = dict.fromkeys(("method", "target", "route", "error"), "ä" * 256)
    with sender() as one, telling.listening(one.pid) as heard:
        one.does(f"line = call(); line.send(span(**{json.dumps(longest)}))")
        (span,) = heard.spans(1)
    assert (span.target, span.route) == (longest["target"], longest["route"])
