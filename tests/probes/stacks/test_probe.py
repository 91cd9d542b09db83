"""The stacks probe on real processes: what it tells, how it follows a tree, and what it leaves behind."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from ledgering import script
from pythons import SOME
from sampling import open_descriptors
from serving import interpreters
from waiting import until

from perfwatch.probes.cpython.copying import Copy, Fault
from perfwatch.probes.frames import PythonSample, ThreadStacks
from perfwatch.probes.readers.interpreter import find_interpreter
from perfwatch.probes.records import Loss, decode, encode
from perfwatch.probes.stacks import probe as module
from perfwatch.probes.stacks import pyspy_run
from perfwatch.probes.stacks.probe import StacksProbe

BUSY_AND_IDLE = """
import sys, threading, zlib
def idle():
    threading.Event().wait()
def busy():
    while True:
        helper()
def helper():
    return sum(number * number for number in range(100))
def native():
    data = bytes(300000)
    while True:
        zlib.compress(data)
for target in (idle, idle, busy, native):
    threading.Thread(target=target, daemon=True).start()
print("up")
sys.stdin.read()
"""


class Sampling:
    """A probe, and what it told of some processes."""

    def __init__(self, probe):
        self.probe = probe
        self.records = []

    def until(self, condition):
        """Read every few milliseconds until a condition holds; returns what that returned."""
        return until(lambda: condition(self.read()), told=lambda: self.records[-3:])

    def read(self):
        self.records += self.probe.read(time.monotonic_ns())
        return self

    def of(self, kind, pid=None):
        return [each for each in self.records if isinstance(each, kind) and pid in {None, getattr(each, "pid", None)}]

    def functions(self, pid):
        """Return the names of all functions in the stacks of a process."""
        return {frame.function for each in self.of(ThreadStacks, pid) for frame in each.table.frames}


@SOME
def test_all_threads_are_told_ten_times_a_second_and_the_interpreter_once(python):
    with script(BUSY_AND_IDLE, python=python) as (process, _), StacksProbe(lambda: [process.pid]) as probe:
        sampling = Sampling(probe)
        stacks, pythons = sampling.until(
            lambda now: len(now.of(PythonSample)) >= 2 and (now.of(ThreadStacks), now.of(PythonSample))
        )
        assert "TracerPid:\t0" in Path(f"/proc/{process.pid}/status").read_text()
        tids = {int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()}
    assert all(decode(encode(record)) == record for record in sampling.records)
    assert len(stacks) >= 8
    holders = set()
    for record in stacks:
        times = sorted({sample.at_ns for sample in record.samples})
        assert record.source == "memory"
        assert all(at_ns <= record.at_ns for at_ns in times)
        assert [sample.at_ns for sample in record.samples] == sorted(sample.at_ns for sample in record.samples)
        # every thread in every reading, but where its stack was given up
        assert len(times) * len(tids) - record.torn <= len(record.samples) <= len(times) * len(tids)
        assert {sample.tid for sample in record.samples} <= tids
        assert len(set(record.table.frames)) == len(record.table.frames)
        assert len(set(record.table.stacks)) == len(record.table.stacks)
        assert all(record.table.stack(sample.stack) for sample in record.samples)
        for at_ns in times:
            assert sum(sample.holds_gil for sample in record.samples if sample.at_ns == at_ns) <= 1
        holders |= {sample.tid for sample in record.samples if sample.holds_gil}
    assert {sample.tid for record in stacks for sample in record.samples} == tids
    assert 1 <= len(holders) <= 3
    assert {"zlib.compress", "helper", "busy", "native"} <= sampling.functions(process.pid)
    first, last = pythons[0], pythons[-1]
    assert first.version.startswith("3.")
    assert last.gil_readings > first.gil_readings
    assert sum(held.readings for held in last.gil_held) + last.gil_free <= last.gil_readings
    assert last.gil_handoffs > first.gil_handoffs
    assert len(last.generations) == 3
    assert last.gc_enabled


def test_a_call_into_c_is_native_and_a_python_function_is_not():
    with script(BUSY_AND_IDLE) as (process, _), StacksProbe(lambda: [process.pid]) as probe:
        sampling = Sampling(probe)
        sampling.until(lambda now: "zlib.compress" in now.functions(process.pid) and len(now.of(ThreadStacks)) > 8)
    frames = {frame for record in sampling.of(ThreadStacks)[4:] for frame in record.table.frames}
    assert {frame.function for frame in frames if frame.is_native} >= {"zlib.compress"}
    assert "helper" not in {frame.function for frame in frames if frame.is_native}
    assert all(not frame.file and not frame.line for frame in frames if frame.is_native)


FAMILY = """
import os, sys, time
def parent():
    sys.stdin.readline()
def child():
    time.sleep(60)
child_pid = os.fork()
if not child_pid:
    child()
print(child_pid)
parent()
os.kill(child_pid, 9)
os.waitpid(child_pid, 0)
print("ended")
sys.stdin.readline()
os.execv(sys.argv[1], [sys.argv[1], "-uc", "def other():\\n print('up'); input()\\nother()"])
"""


def go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@SOME
def test_forks_ends_and_other_programs_are_followed(python):
    before = open_descriptors()
    with script(FAMILY, arguments=[python]) as (process, child), StacksProbe(lambda: tree) as probe:
        tree = [process.pid, int(child)]
        sampling = Sampling(probe)
        sampling.until(lambda now: "parent" in now.functions(process.pid) and "child" in now.functions(int(child)))
        assert "child" not in sampling.functions(process.pid)
        assert go_on(process) == "ended"
        tree.pop()
        sampling.until(lambda now: len(now.of(ThreadStacks, process.pid)) > 3)
        told = len(sampling.of(ThreadStacks, int(child)))
        assert go_on(process) == "up"
        sampling.until(lambda now: "other" in now.functions(process.pid))
        # of the program that is no more nothing is told
        last = sampling.of(ThreadStacks, process.pid)[-1]
        assert "parent" not in {frame.function for frame in last.table.frames}
        sampling.records.clear()
        sampling.until(lambda now: len(now.of(ThreadStacks)) > 2)
        assert sampling.of(ThreadStacks, int(child)) == []
        assert told
        process.kill()
        process.wait()
        tree.clear()
        sampling.records.clear()
        sampling.records += probe.read(time.monotonic_ns())
        assert sampling.of(Loss) == []
    assert open_descriptors() == before


WAIT = "import sys; print('up'); sys.stdin.read()"


@pytest.mark.skipif("3.7" not in interpreters(), reason="needs a Python 3.7")
def test_a_python_without_a_table_is_read_by_py_spy():
    with (
        script(WAIT, python=interpreters()["3.7"]) as (process, _),
        script(WAIT) as (other, _),
        StacksProbe(lambda: [process.pid, other.pid]) as probe,
    ):
        sampling = Sampling(probe)
        sampling.until(lambda now: now.of(ThreadStacks, process.pid) and now.of(ThreadStacks, other.pid))
        assert probe.children_ns > 0
    assert {record.source for record in sampling.of(ThreadStacks, process.pid)} == {"py-spy"}
    assert {record.source for record in sampling.of(ThreadStacks, other.pid)} == {"memory"}
    assert "<module>" in sampling.functions(process.pid)
    assert sampling.of(Loss) == []


NAMED = """
import sys, threading
threading.Thread(target=threading.Event().wait, name="cache-keeper", daemon=True).start()
print("up")
sys.stdin.read()
"""


@SOME
def test_threads_are_told_by_the_names_that_they_have_in_python(python):
    with script(NAMED, python=python) as (process, _), StacksProbe(lambda: [process.pid]) as probe:
        sampling = Sampling(probe)
        named = sampling.until(lambda now: [one for one in now.of(PythonSample) if one.threads])
    assert {thread.name for thread in named[-1].threads} == {"MainThread", "cache-keeper"}


def test_a_process_without_python_is_left_alone():
    with subprocess.Popen(["sleep", "60"]) as process:
        with StacksProbe(lambda: [process.pid]) as probe:
            records = [record for _ in range(30) for record in probe.read(time.monotonic_ns())]
        process.kill()
    assert records == []


def test_garbage_costs_little_and_py_spy_finds_the_interpreter_itself(monkeypatch):
    with script(WAIT) as (process, _), StacksProbe(lambda: [process.pid]) as probe:

        def shifted(proc, pid):
            found = find_interpreter(proc, pid)
            return msgspec.structs.replace(found, runtime_start=found.runtime_start + 8)

        monkeypatch.setattr(module, "find_interpreter", shifted)
        sampling = Sampling(probe)
        began = time.process_time()
        sampling.until(lambda now: now.of(ThreadStacks))
        for _ in range(100):
            sampling.records += probe.read(time.monotonic_ns())
        assert time.process_time() - began < 1
    assert {record.source for record in sampling.of(ThreadStacks)} == {"py-spy"}


def test_what_cannot_be_read_at_all_is_told_once(monkeypatch):
    monkeypatch.setattr(pyspy_run, "find_py_spy", lambda: Path("/bin/false"))
    with script(WAIT, python=interpreters()["3.7"]) as (process, _), StacksProbe(lambda: [process.pid]) as probe:
        sampling = Sampling(probe)
        sampling.until(lambda now: now.of(Loss))
        for _ in range(100):
            sampling.records += probe.read(time.monotonic_ns())
    (loss,) = sampling.of(Loss)
    assert loss.probe == "stacks"
    assert loss.reason.startswith(f"no stacks of process {process.pid}: ")


STRANGE = """
import sys
def f(wait):
    wait()
file = "/tmp/\\udcff\\ud800\\n\\0\\u202e" + "x" * 5000
f.__code__ = f.__code__.replace(co_filename=file, co_name="\\udc80\\r" + "y" * 5000)
print("up")
f(sys.stdin.read)
"""


@SOME
def test_strange_names_can_be_told(python):
    with script(STRANGE, python=python) as (process, _), StacksProbe(lambda: [process.pid]) as probe:
        sampling = Sampling(probe)
        sampling.until(lambda now: len(now.of(ThreadStacks)) > 1)
    record = sampling.of(ThreadStacks)[-1]
    assert decode(encode(record)) == record
    assert "/tmp/\ufffd\ufffd\n\0\u202e" in {frame.file[:10] for frame in record.table.frames}
    assert all(len(frame.file) <= 256 and len(frame.function) <= 256 for frame in record.table.frames)


def test_stacks_that_are_torn_each_time_are_counted(monkeypatch):
    monkeypatch.setattr(Copy, "stack", lambda self, data: Fault.TORN)
    with script(WAIT) as (process, _), StacksProbe(lambda: [process.pid]) as probe:
        sampling = Sampling(probe)
        sampling.until(lambda now: len(now.of(ThreadStacks)) > 2)
    assert all(record.samples == () and record.torn for record in sampling.of(ThreadStacks))


UNPRIVILEGED = """
import sys
from perfwatch.probes.stacks.probe import StacksProbe
with StacksProbe(lambda: [int(sys.argv[1])]) as probe:
    said = probe.availability()
    print(said.status, "|", said.reason, "|", said.lost, "|", said.remedy)
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv to become another user"
)
def test_another_users_process_is_not_available():
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
    pid = str(os.getpid())
    done = subprocess.run([*command, sys.executable, "-c", UNPRIVILEGED, pid], capture_output=True, text=True, cwd="/")
    if "Permission denied" in done.stderr or "ModuleNotFoundError" in done.stderr:
        pytest.skip("the interpreter of the tests may not be run by another user")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"unavailable | /proc/{pid}/mem may not be read by this user | what the code does, and who holds the "
        "interpreter lock | run perfwatch as root, or as the target's user\n"
    )


def test_an_own_process_is_available():
    with StacksProbe(lambda: [os.getpid()]) as probe:
        assert probe.availability().status == "available"
    with StacksProbe(list) as probe:
        assert probe.availability().status == "available"
        assert probe.read(time.monotonic_ns()) == []
