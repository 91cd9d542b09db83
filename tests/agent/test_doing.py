"""What threads do, in words: of real threads that each wait in one way."""

import os
import signal
import socket
import sys
import threading

import pytest
import spied
from ledgering import script
from waiting import until

from perfwatch.agent.doing import threads_doing

WAITING = """
import os, select, socket, subprocess, sys, threading, time
port = int(sys.argv[1])
def tid():
    return int(os.readlink("/proc/thread-self").rpartition("/")[2])
lock = threading.Lock(); lock.acquire()
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
accepted = listener.accept()[0]
peer = socket.create_connection(("127.0.0.1", port))
child = subprocess.Popen(["sleep", "1000"])
read, write = os.pipe()
def loop():
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    poll.register(other, select.EPOLLIN)
    poll.poll()
client2 = socket.create_connection(listener.getsockname())
other = listener.accept()[0]
kinds = {
    "waits for a lock": lock.acquire,
    "sleeps": lambda: time.sleep(1000),
    "waits for connections": lambda: listener.accept(),
    "waits for a client": lambda: accepted.recv(1),
    "waits for events": loop,
    "waits for 127.0.0.1:%d" % port: lambda: peer.recv(1),
    "waits for a child process": child.wait,
    "waits in read": lambda: os.read(read, 1),
}
for words, wait in kinds.items():
    def run(words=words, wait=wait):
        sys.stdout.write("%d %s\\n" % (tid(), words))
        wait()
    threading.Thread(target=run, daemon=True).start()
    time.sleep(0.01)
print(child.pid)
sys.stdin.read()
"""


def test_each_wait_has_its_words():
    with (
        socket.create_server(("127.0.0.1", 0)) as peer,
        script(WAITING, arguments=[peer.getsockname()[1]]) as (process, first),
    ):
        lines = [first, *(process.stdout.readline().strip() for _ in range(8))]
        known = {int(tid): words for tid, _, words in (line.partition(" ") for line in lines[:8])}
        try:
            until(lambda: spied.states_of(process.pid) == {"S"})
            found = threads_doing([process.pid])
        finally:
            os.kill(int(lines[8]), signal.SIGKILL)
    assert {tid: found[tid] for tid in known} == known
    assert found[process.pid] == "waits in read"


@pytest.mark.parametrize("python", [spied.PYTHONS.get("3.7", sys.executable), sys.executable])
def test_who_waits_for_the_interpreter_lock_is_told_from_who_runs(python):
    source = "import threading\nprint('up')\ndef spin():\n    while True: pass\n"
    source += "for _ in range(3): threading.Thread(target=spin).start()\nspin()"
    with script(source, python=python) as (process, _):
        seen = set()
        told = {"running", "waits for the interpreter lock"}
        until(lambda: seen.update(threads_doing([process.pid]).values()) or told <= seen)
    assert seen <= told | {"waits for a lock"}  # while it starts its threads


def test_a_stopped_process():
    with script("print('up'); input()") as (process, _):
        process.send_signal(signal.SIGSTOP)
        until(lambda: spied.states_of(process.pid) == {"T"})
        assert threads_doing([process.pid]) == {process.pid: "is stopped"}


def test_one_that_has_ended_is_left_out():
    with script("print('up'); input()") as (process, _):
        process.kill()
        process.wait()
        found = threads_doing([process.pid, os.getpid()])
    assert process.pid not in found
    assert found[threading.get_native_id()] == "running"
