"""`perfwatch stacks` on real processes, and what is shown of those that want to deceive."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import msgspec
import psutil
import pytest
import spied
from confining import CONTAINER, NOBODY
from ledgering import script
from recording import PERFWATCH, SPARE_S
from waiting import until

from perfwatch.agent.snapshot import SCHEMA, FrameNow, ProcessNow, Snapshot, ThreadNow, snapshot
from perfwatch.agent.snapshot_text import to_text

OLDEST = spied.PYTHONS.get("3.7", Path(sys.executable))
LOCKED = """
import sys, threading, time
lock = threading.Lock(); lock.acquire()
def wait_for_it():
    with lock:
        pass
def recurse(depth):
    if depth:
        recurse(depth - 1)
    else:
        time.sleep(1000)
for number in range(12):
    threading.Thread(target=wait_for_it, name="pool-%d" % number, daemon=True).start()
threading.Thread(target=recurse, args=[50], name="deep\\x1b[31m\\n\\u202e", daemon=True).start()
print("up")
sys.stdin.read()
"""
FORKING = """
import os, subprocess, sys, time
def child():
    os.close(1)
    time.sleep(1000)
for _ in range(2):
    if not os.fork():
        child()
subprocess.Popen(["sleep", "1000"])
print("up")
sys.stdin.read()
"""


def run(*arguments, prefix=()):
    command = [*prefix, PERFWATCH, "stacks", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SPARE_S, stdin=subprocess.DEVNULL)


def assert_explained(ended, said):
    """Assert that it failed with one line."""
    assert (ended.returncode, ended.stdout) == (1, ""), said
    (line,) = ended.stderr.splitlines()
    assert line.startswith("perfwatch: ")
    assert said in line


@contextlib.contextmanager
def settled(source, *, python=sys.executable):
    with script(source, python=python) as (process, _):
        until(lambda: spied.states_of(process.pid) == {"S"})
        yield process


@pytest.mark.parametrize("python", [OLDEST, sys.executable])
def test_what_threads_do_and_execute(python):
    with settled(LOCKED, python=python) as process:
        found = snapshot(process.pid, is_native=False)
    (one,) = found.processes
    assert (one.pid, one.source, one.stopped_ms, one.other_threads, found.problems) == (
        process.pid,
        "py-spy",
        None,
        0,
        (),
    )
    assert len(one.threads) == 14
    threads = {thread.name.split("-")[0]: thread for thread in one.threads}
    assert {thread.doing for thread in one.threads if thread.name.startswith("pool")} == {"waits for a lock"}
    assert threads["pool"].frames[0].function == "wait_for_it"
    assert threads["pool"].frames[0].is_own
    assert not any(frame.is_own for frame in threads["pool"].frames[1:])
    assert threads["deep\x1b[31m\n\u202e"].doing == "sleeps"
    assert threads["MainThread"].doing.startswith("waits in read")
    assert not any(thread.holds_gil for thread in one.threads)


def test_the_same_is_shown_once_and_nothing_reaches_the_terminal():
    with settled(LOCKED, python=OLDEST) as process:
        ended = run(process.pid)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[0].startswith(f"── process {process.pid}: ")
    assert "14 threads; read by py-spy without a pause" in lines[1]
    (pool,) = [line for line in lines if "pool-0" in line]
    assert pool.endswith(" and 4 more: waits for a lock")
    assert sum(line.startswith("  ▸ wait_for_it ") for line in lines) == 1
    assert "     the same 49 times more" in lines
    assert any(line.startswith(r"deep\x1b[31m\x0a\u202e ") for line in lines)
    assert "\x1b" not in ended.stdout


def test_the_holder_of_the_interpreter_lock_comes_first():
    with spied.counting(OLDEST) as (process, _):
        found = snapshot(process.pid, is_native=False)
    text = to_text(found, None).splitlines()
    assert text[3].startswith("counter ")
    assert text[3].endswith(": running, holds the interpreter lock")
    assert text[1].endswith("what runs may have moved on meanwhile")


def test_native_frames_are_said_to_stop_the_process():
    with settled(LOCKED) as process:
        ended = run(process.pid, "--native")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "; stopped for at most " in ended.stdout.splitlines()[1]
    assert any("lock" in line and line.endswith(".so.1.0") for line in ended.stdout.splitlines())


def test_json_is_the_same():
    with settled(LOCKED) as process:
        ended = run(process.pid, "--json")
    found = msgspec.convert(json.loads(ended.stdout), Snapshot)
    assert (found.schema, found.pid) == (SCHEMA, process.pid)
    assert {frame.file for thread in found.processes[0].threads for frame in thread.frames if frame.is_own} == {
        "<string>"
    }
    assert "\x1b" not in ended.stdout


def test_all_processes_of_a_tree_that_run_python():
    with script(FORKING) as (process, _):
        children = psutil.Process(process.pid).children()
        try:
            until(lambda: all(spied.states_of(child.pid) == {"S"} for child in children))
            found = snapshot(process.pid, is_native=False)
        finally:
            for child in children:
                child.kill()
    first, *others = found.processes
    assert first.pid == process.pid
    assert len(children) == 3
    assert {one.pid for one in others} < {child.pid for child in children}
    assert [one.threads[0].frames[0].function for one in others] == ["child"] * 2


def test_a_process_in_a_container():
    with subprocess.Popen(
        [*CONTAINER, str(OLDEST), "-u", "-c", LOCKED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as shell:
        shell.stdout.readline()
        ended, native = run(shell.pid), run(shell.pid, "--native")
        shell.stdin.close()
    assert "waits for a lock" in ended.stdout
    assert_explained(native, "it is in a container (run perfwatch in that container, or without --native)")


def test_ones_own_process_without_any_rights():
    python = Path("/usr/bin/python3")
    if os.geteuid() or not python.exists() or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv to become another user, and a Python that all may run")
    as_nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all"]
    command = [*as_nobody, str(python), "-u", "-c", LOCKED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        ended = run(process.pid, prefix=NOBODY)
        process.stdin.close()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "and 4 more: waits for a lock" in ended.stdout


def test_what_cannot_be_read_is_said_in_one_line():
    gone = subprocess.Popen(["true"])
    gone.wait()
    with settled(LOCKED) as process, subprocess.Popen(["sleep", "60"]) as other:
        failures = [run(gone.pid), run(other.pid), run(process.pid, prefix=NOBODY)]
        other.kill()
    for ended, said in zip(failures, ("there is no process", "runs no Python", "run as root"), strict=True):
        assert_explained(ended, said)


def frame(function, file="/srv/a.py", line=1, *, native=False, own=True):
    return FrameNow(function, file, line, native, own)


def shown(*threads, width=None):
    process = ProcessNow(7, "python shop.py", "3.11.7", "py-spy", None, threads, 2)
    return to_text(Snapshot(SCHEMA, 7, (process,), ()), width).splitlines()


def test_a_stack_that_is_too_deep_is_said_to_be():
    with settled(LOCKED.replace("args=[50]", "args=[500]")) as process:
        lines = run(process.pid).stdout.splitlines()
    assert "     the same 254 times more" in lines
    assert "     and what called these" in lines


def test_places_are_told_as_one_would_look_for_them():
    lines = shown(
        ThreadNow(
            9,
            None,
            None,
            holds_gil=False,
            frames=(
                frame("0x7f105d4a3f16", "/lib/x86_64-linux-gnu/libc.so.6", None, native=True, own=False),
                frame("total"),
                frame("view", "/opt/venv/lib/python3.11/site-packages/flask/lib/app.py", 5, own=False),
                frame("run", "/usr/lib/python3.11/threading.py", None, own=False),
                frame("", ""),
            ),
        )
    )
    assert lines[3:9] == [
        "without a name 9: ?",
        "    ?      libc.so.6",
        "  ▸ total  /srv/a.py:1",
        "    view   flask/lib/app.py:5",
        "    run    python3.11/threading.py:?",
        "  ▸        :1",
    ]
    assert lines[-1] == "2 threads without Python code"


def test_lines_are_cut_at_the_terminals_width():
    lines = shown(ThreadNow(9, "x" * 128, "running", holds_gil=False, frames=(frame("f" * 256, "/" * 256),)), width=60)
    assert max(map(len, lines)) == 60
    assert sum(line.endswith("…") for line in lines) == 2


def test_who_runs_stands_before_who_waits_and_who_has_nothing_to_do_last():
    doings = ["waits for a client", "sleeps", "running", None, "waits for connections"]
    threads = [ThreadNow(tid, f"t{tid}", doing, False, ()) for tid, doing in enumerate(doings, 1)]
    holder = ThreadNow(9, "holder", "sleeps", holds_gil=True, frames=())
    order = [before.split()[0] for before, line in pairwise(["", *shown(*threads, holder)]) if "no Python" in line]
    assert order == ["holder", "t3", "t2", "t4", "t1", "t5"]
