"""The files of threads: parsed as the kernel writes them, kept open within bounds, told apart when a thread ends."""

import os
import platform
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledgering import script
from sampling import open_descriptors

from perfwatch.probes.errors import Malformed, Vanished
from perfwatch.probes.readers.calls import name_of
from perfwatch.probes.readers.thread_files import LOWEST, OpenFiles, TaskList, ThreadFiles
from perfwatch.probes.readers.thread_formats import (
    parse_children,
    parse_name,
    parse_process_stat,
    parse_schedstat,
    parse_state,
    parse_switches,
    parse_syscall,
    parse_wchan,
    signed,
)

FUTEX = b"202 0x5592196dfe40 0x189 0x0 0x0 0x0 0xffffffff 0x7fc9adff2aa0 0x7fc9faca3f16\n"
FAULT = b"-1 0x7ffd0adcd730 0x7fc9faced545\n"


@pytest.fixture
def sleeper():
    with script("import time; print('up'); time.sleep(60)") as (process, _):
        while parse_syscall(Path(f"/proc/{process.pid}/syscall").read_bytes()) is None:
            time.sleep(0.001)  # it has said that it is up, and is about to sleep
        yield process


def open_numbers():
    return sorted(int(entry.name) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())


def own(name):
    return Path(f"/proc/self/task/{threading.get_native_id()}/{name}").read_bytes()


def test_a_threads_own_files_are_parsed():
    before = time.thread_time_ns()
    counted = parse_schedstat(own("schedstat"))
    assert abs(counted.run_ns - before) < 20_000_000  # the kernel's ticks, of 1 to 10 ms
    assert parse_state(own("stat")) == "R"
    assert parse_name(own("stat")) == own("comm").decode().rstrip("\n")
    assert name_of(platform.machine(), parse_syscall(own("syscall")).number) == "read"  # of this very file
    assert all(count is not None and count >= 0 for count in parse_switches(own("status")))
    stat = parse_process_stat(Path("/proc/self/stat").read_bytes())
    assert stat.parent == os.getppid()


def test_a_sleeping_call_and_a_fault_are_told():
    call = parse_syscall(FUTEX)
    assert (call.number, call.arguments[0], call.stack) == (202, 0x5592196DFE40, 0x7FC9ADFF2AA0)
    assert parse_syscall(FAULT).number == -1
    assert parse_syscall(FAULT).stack == 0x7FFD0ADCD730
    assert parse_syscall(b"running\n") is None


@pytest.mark.parametrize("name", [b"a) R 1", b"()", b"x) (y", b"\xff\xfe", b"a\nb"])
def test_a_hostile_name_does_not_shift_the_state(name):
    stat = b"7 (" + name + b") S 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 99 0 0 0 0 0 4096 0"
    assert parse_state(stat) == "S"
    assert parse_name(stat).encode(errors="replace") is not None
    assert (parse_process_stat(stat).parent, parse_process_stat(stat).started_ticks) == (1, 99)


@given(st.binary(max_size=200))
def test_parsers_raise_malformed_and_nothing_else(data):
    for parse in (parse_state, parse_schedstat, parse_syscall, parse_process_stat):
        try:
            parse(data)
        except Malformed:
            continue
    parse_name(data)
    parse_wchan(data)
    parse_switches(data)
    parse_children(data)


@given(st.integers(0, (1 << 64) - 1))
def test_a_descriptor_is_a_c_int(argument):
    assert -(1 << 31) <= signed(argument) < 1 << 31
    assert signed(0xFFFFFFFF) == -1


def test_a_file_is_kept_open_and_says_when_its_thread_has_ended(sleeper):
    files = ThreadFiles(Path(f"/proc/{sleeper.pid}"), OpenFiles(10))
    first = files.read("stat")
    before = open_descriptors()
    assert parse_state(files.read("stat")) == parse_state(first) == "S"
    assert open_descriptors() == before
    sleeper.kill()
    sleeper.wait()
    with pytest.raises(Vanished):
        files.read("stat")
    files.close()
    assert open_descriptors() == before - 1


def test_without_room_files_are_opened_for_each_reading(sleeper):
    room = OpenFiles(1)
    files = ThreadFiles(Path(f"/proc/{sleeper.pid}"), room)
    files.read("stat")
    before = open_descriptors()
    assert parse_syscall(files.read("syscall")) is not None
    assert open_descriptors() == before
    files.close()
    files.read("syscall")
    assert open_descriptors() == before  # what was given back may be kept again
    files.close()


def test_kept_files_leave_the_low_numbers_to_others(sleeper):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= LOWEST:
        pytest.skip(f"no more than {LOWEST} open files are allowed here")
    files = ThreadFiles(Path(f"/proc/{sleeper.pid}"), OpenFiles(10))
    tasks = TaskList(sleeper.pid, OpenFiles(10))
    low = [number for number in open_numbers() if number < LOWEST]
    for name in ("stat", "schedstat", "status"):
        files.read(name)
    tasks.list()
    assert [number for number in open_numbers() if number < LOWEST] == low
    files.close()
    tasks.close()


EXHAUSTED = """
import os, resource, sys
from pathlib import Path
from perfwatch.probes.errors import Unavailable
from perfwatch.probes.readers.thread_files import OpenFiles, ThreadFiles
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
files = [ThreadFiles(Path(sys.argv[1]), OpenFiles(1000)) for _ in range(2)]
files[0].read("stat")
hog = []
try:
    while True:
        hog.append(os.open("/", os.O_RDONLY))
except OSError:
    pass
print(bool(files[0].read("schedstat")), bool(files[0].read("stat")))
try:
    files[1].read("stat")
    print("read")
except Unavailable as why:
    print(why)
"""


def test_without_a_descriptor_left_those_that_are_kept_are_given_up(sleeper):
    done = subprocess.run(
        [sys.executable, "-c", EXHAUSTED, f"/proc/{sleeper.pid}"], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "True True"
    assert "no file descriptor left" in second


def test_a_new_thread_and_one_that_ended_change_the_count():
    tasks = TaskList(os.getpid(), OpenFiles(10))
    before = tasks.list()
    assert not tasks.changed()
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    assert tasks.changed()
    assert set(tasks.list()) - set(before) == {thread.native_id}
    go.set()
    thread.join()
    end = time.monotonic() + 5  # the kernel removes it a moment after it was joined
    while not tasks.changed():
        assert time.monotonic() < end
    tasks.close()


def test_children_that_were_cut_off_are_left_out():
    assert parse_children(b"12 345 ") == [12, 345]
    assert parse_children(b"1 " * 2047 + b"12") == [1] * 2047
