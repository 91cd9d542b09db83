"""py-spy on real processes: what it says is what they are, it stops nobody unasked, and nothing is left behind."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import spied
from confining import CONTAINER
from ledgering import script
from waiting import until

from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.stacks import pyspy_run
from perfwatch.probes.stacks.pyspy import PySpy

PTRACE_SEIZE = 0x4206
OLDEST = spied.PYTHONS.get("3.7", Path(sys.executable))
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make namespaces")


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a shell script in the place of py-spy."""

    def put(body):
        program = tmp_path / "py-spy"
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(pyspy_run, "find_py_spy", lambda: program)

    return put


def collected(py_spy):
    """Wait for the dump that was started."""
    while (dump := py_spy.collect()) is None:
        py_spy._run.wait()
    return dump


def told(thread):
    return [(frame.function, frame.file, frame.line) for frame in thread.frames]


@pytest.mark.parametrize("name", spied.PYTHONS)
def test_quiet_threads_are_told_as_python_itself_has_them(name):
    with spied.quiet(spied.PYTHONS[name]) as (process, known), PySpy(process.pid) as py_spy:
        dump = py_spy.dump()
    threads = {thread.name: thread for thread in dump.threads}
    assert threads.keys() == {"MainThread", *known}
    for kind, (tid, frames) in known.items():
        assert told(threads[kind]) == frames
        assert threads[kind].tid == tid
        assert not threads[kind].holds_gil
        assert threads[kind].is_active in {None, False}
    assert threads["MainThread"].tid == process.pid


@pytest.mark.parametrize("python", [OLDEST, sys.executable])
def test_the_holder_of_the_interpreter_lock_is_told(python):
    with spied.counting(python) as (process, _), PySpy(process.pid) as py_spy:
        dumps = [py_spy.dump() for _ in range(3)]
    holders = [[thread.name for thread in dump.threads if thread.holds_gil] for dump in dumps]
    assert {name for each in holders for name in each} == {"counter"}
    assert all(dump.cpu_ns > 0 for dump in dumps)


@needs_root
@pytest.mark.parametrize("python", [OLDEST, sys.executable])
def test_threads_in_another_pid_namespace_have_their_numbers_here(python):
    with subprocess.Popen(
        [*CONTAINER, str(python), "-u", "-c", spied.QUIET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as shell:
        shell.stdout.readline()
        (pid,) = map(int, Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text().split())
        with PySpy(pid) as py_spy:
            dump = py_spy.dump()
        tasks = {int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()}
        shell.stdin.close()
    assert {thread.tid for thread in dump.threads} == tasks
    by_name = {thread.name: thread.tid for thread in dump.threads}
    assert by_name["MainThread"] == pid
    assert [by_name[f"kind-{number}"] for number in range(8)] == sorted(tasks - {pid})


@pytest.mark.parametrize("python", [OLDEST, sys.executable])
def test_the_target_is_not_stopped_and_gets_on(python):
    with spied.counting(python) as (process, count), PySpy(process.pid) as py_spy:
        begun = count()
        for _ in range(3):
            py_spy.start()
            while py_spy.collect() is None:
                assert spied.tracer_of(process.pid) == 0
                assert spied.states_of(process.pid) <= {"R", "S", "D"}
        assert count() > begun


def test_native_frames_stop_it_and_let_it_go():
    with spied.counting() as (process, count), PySpy(process.pid, is_native=True) as py_spy:
        py_spy.start()
        until(lambda: spied.tracer_of(process.pid))  # so above it would have been seen
        dump = collected(py_spy)
        assert spied.tracer_of(process.pid) == 0
        spied.await_advance(count)
    waiter = next(thread for thread in dump.threads if thread.name == "waiter-0")
    assert any(frame.is_native and "lock" in frame.function for frame in waiter.frames)
    assert next(frame.function for frame in waiter.frames if not frame.is_native).endswith("run")


def test_a_target_survives_the_death_of_a_py_spy_that_stopped_it():
    with spied.counting() as (process, count):
        for _ in range(3):
            with PySpy(process.pid, is_native=True) as py_spy:
                py_spy.start()
                until(lambda: spied.tracer_of(process.pid))
            until(lambda: spied.tracer_of(process.pid) == 0)
            spied.await_advance(count)


def test_a_process_that_is_traced_already_gives_no_native_frames():
    with spied.counting() as (process, _), PySpy(process.pid, is_native=True) as py_spy:
        assert ctypes.CDLL(None).ptrace(PTRACE_SEIZE, process.pid, None, None) == 0
        with pytest.raises(Unavailable, match=f"is being traced by process {os.getpid()}"):
            py_spy.dump()
        with PySpy(process.pid) as other:
            assert other.dump().threads


def test_a_process_that_has_ended_is_said_to_have():
    with script("print('up'); input()") as (process, _):
        process.kill()
        process.wait()
        with PySpy(process.pid) as py_spy, pytest.raises(Vanished):
            py_spy.dump()


def test_a_process_that_ends_while_it_is_read():
    with script("print('up'); input()") as (process, _), PySpy(process.pid) as py_spy:
        py_spy.start()
        spy = py_spy._run._process
        spy.send_signal(signal.SIGSTOP)
        process.kill()
        process.wait()
        spy.send_signal(signal.SIGCONT)
        with pytest.raises(Vanished):
            collected(py_spy)


def test_a_stopped_process_is_read_but_for_native_frames():
    with spied.quiet(OLDEST) as (process, known), PySpy(process.pid) as py_spy:
        process.send_signal(signal.SIGSTOP)
        until(lambda: "T" in spied.states_of(process.pid))
        assert len(py_spy.dump().threads) == len(known) + 1
        with PySpy(process.pid, is_native=True) as native, pytest.raises(Unavailable, match="is stopped"):
            native.dump()
        process.send_signal(signal.SIGCONT)
        until(lambda: spied.states_of(process.pid) == {"S"})


def test_no_python_is_said_so():
    with subprocess.Popen(["sleep", "60"]) as process:
        with PySpy(process.pid) as py_spy, pytest.raises(Unavailable, match="finds no Python that it knows"):
            py_spy.dump()
        process.kill()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("echo '[{'", "no dump"),
        ("echo '{}'", "no dump"),
        ("exit 3", "it did not say why"),
        ("echo 'Error: odd' >&2; exit 1", "Error: odd"),
        ("printf 'a\\033[31m\\342\\200\\256b' >&2; exit 1", r"a\\x1b\[31m\\u202eb"),
        ("kill -SEGV $$", "too long .* or too much memory"),
    ],
)
def test_what_no_py_spy_would_say_is_malformed(stand_in, body, said):
    stand_in(body)
    with PySpy(os.getpid()) as py_spy, pytest.raises(Malformed, match=said):
        py_spy.dump()


def test_output_has_its_bounds(stand_in):
    stand_in("exec cat /dev/zero")
    with PySpy(os.getpid()) as py_spy, pytest.raises(Malformed, match="too many or too deep"):
        py_spy.dump()


def test_one_that_hangs_is_ended(stand_in, monkeypatch):
    monkeypatch.setattr(pyspy_run, "TIMEOUT_S", 0.2)
    stand_in("exec sleep 60")
    with PySpy(os.getpid()) as py_spy, pytest.raises(Malformed, match="too long"):
        py_spy.dump()


def test_without_descriptors_there_is_a_reason(stand_in, monkeypatch):
    stand_in("exit 0")
    made = []

    def make(name, flags):
        if made:
            raise OSError(errno.EMFILE, "Too many open files")
        made.append(memfd_create(name, flags))
        return made[0]

    memfd_create = os.memfd_create
    monkeypatch.setattr(os, "memfd_create", make)
    with PySpy(os.getpid()) as py_spy, pytest.raises(Unavailable, match="Too many open files"):
        py_spy.start()


def test_closing_ends_what_is_under_way(stand_in):
    stand_in("exec sleep 60")
    with PySpy(os.getpid()) as py_spy:
        py_spy.start()
        assert py_spy.collect() is None
        assert len(spied.children()) == 1


def test_the_one_that_was_installed_is_run_whatever_path_says(stand_in, tmp_path, monkeypatch):
    impostor = tmp_path / "py-spy"
    impostor.write_text("#!/bin/sh\necho '[]'\n")
    impostor.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    pyspy_run.find_py_spy.cache_clear()
    assert pyspy_run.find_py_spy() == Path(sys.executable).parent / "py-spy"


def test_without_it_there_is_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(sys, "path", [])
    pyspy_run.find_py_spy.cache_clear()
    with pytest.raises(Unavailable, match="pip install py-spy"):
        pyspy_run.find_py_spy()
