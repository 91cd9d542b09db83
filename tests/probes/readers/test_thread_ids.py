"""Numbers of threads: those that a process says itself, in its own PID namespace and in this one."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
import spied
from confining import CONTAINER
from ledgering import script

from perfwatch.probes.errors import Malformed, Vanished
from perfwatch.probes.readers import thread_ids
from perfwatch.probes.readers.thread_ids import ThreadIds, parse_numbers

THREADS = """
import json, os, sys, threading
known = {}
ready, lock = threading.Barrier(int(sys.argv[1]) + 1), threading.Lock()
def number():
    return int(os.readlink("/proc/thread-self").rpartition("/")[2])
def wait():
    known[threading.get_ident()] = number()
    ready.wait()
    lock.acquire()
lock.acquire()
for _ in range(int(sys.argv[1])):
    threading.Thread(target=wait, daemon=True).start()
ready.wait()
known[threading.get_ident()] = number()
print(json.dumps(sorted(known.items())))
sys.stdin.read()
"""


@pytest.mark.parametrize("count", [0, 1, 30])
@pytest.mark.parametrize(
    "python", [spied.PYTHONS.get("3.7"), spied.PYTHONS["the tests' own"], Path("/usr/bin/python3")]
)
def test_each_pthread_has_the_number_that_it_says(python, count):
    if python is None or not python.exists():
        pytest.skip("no such interpreter")
    with script(THREADS, python=python, arguments=[count]) as (process, told):
        ids = ThreadIds(process.pid)
        known = dict(json.loads(told))
        assert ids.by_pthread(known) == known
        assert ids.by_pthread(known) == known
        assert ids.by_inner() == {tid: tid for tid in known.values()}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make namespaces")
def test_numbers_in_a_container():
    python = str(spied.PYTHONS["the tests' own"])
    command = [*CONTAINER, python, "-u", "-c", THREADS, "12"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        known = dict(json.loads(shell.stdout.readline()))
        (pid,) = map(int, Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text().split())
        ids = ThreadIds(pid)
        by_inner, by_pthread = ids.by_inner(), ids.by_pthread(known)
        tasks = {int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()}
        shell.stdin.close()
    assert set(by_inner) == set(known.values())
    assert set(by_inner.values()) == tasks
    assert by_inner[1] == pid
    assert by_pthread == {address: by_inner[inner] for address, inner in known.items()}


def test_what_is_no_pthread_has_no_number():
    room = ctypes.create_string_buffer(os.urandom(4096))
    addresses = [0, 1, -5, ctypes.addressof(room), 1 << 46, (1 << 64) - 1, 1 << 80]
    assert ThreadIds(os.getpid()).by_pthread(addresses) == {}


def test_two_that_claim_the_same_number_have_none():
    one = ctypes.create_string_buffer(os.getpid().to_bytes(4, "little") * 1024)
    other = ctypes.create_string_buffer(os.getpid().to_bytes(4, "little") * 1024)
    assert ThreadIds(os.getpid()).by_pthread([ctypes.addressof(one), ctypes.addressof(other)]) == {}


def test_memory_that_never_comes_is_not_waited_for(monkeypatch):
    came = threading.Event()
    monkeypatch.setattr(thread_ids, "_structs", lambda *_: came.wait(30) and {})
    monkeypatch.setattr(thread_ids, "_PATIENCE_S", 0.05)
    begun = time.monotonic()
    assert ThreadIds(os.getpid()).by_pthread([1 << 46]) == {}
    came.set()
    assert time.monotonic() - begun < 10


def test_a_process_that_has_ended_is_said_to_have():
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(Vanished):
        ThreadIds(process.pid).by_inner()


def test_status_of_an_older_kernel_or_of_none():
    assert parse_numbers(b"Name:\tx\nNSpid:\t4319\t8\n") == [4319, 8]
    for status in (b"", b"Name:\tx\n", b"NSpid:\n", b"NSpid:\tx\n"):
        with pytest.raises(Malformed):
            parse_numbers(status)
