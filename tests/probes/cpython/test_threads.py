"""The threads of real interpreters, against what each thread says itself."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pythons import EACH, opened, overwrite

from perfwatch.probes import roots
from perfwatch.probes.cpython.python import open_python
from perfwatch.probes.cpython.threads import MAX_THREADS, Threads, _Records
from perfwatch.probes.readers.interpreter import find_interpreter

# On a line of input one thread ends, and another begins; then a thread forks.
COME_AND_GO = """
import json, os, sys, threading, time
def run(stop):
    tids.append(threading.get_native_id())
    started.release()
    stop.wait()
    tids.remove(threading.get_native_id())
def begin():
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(stop,), daemon=True)
    thread.start()
    started.acquire()
    return stop, thread
def fork():
    if not os.fork():
        print(os.getpid())
        time.sleep(60)
        os._exit(0)
tids, started = [threading.get_native_id()], threading.Semaphore(0)
running = [begin() for _ in range(5)]
while True:
    print(json.dumps(tids))
    sys.stdin.readline()
    stop, thread = running.pop(2)
    stop.set()
    thread.join()
    running.append(begin())
    print(json.dumps(tids))
    sys.stdin.readline()
    threading.Thread(target=fork).start()
    break
sys.stdin.read()
"""


def go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


@EACH
def test_each_thread_is_known_by_its_kernel_id_also_after_a_fork(python):
    with opened(COME_AND_GO, python=python) as (read, process, told):
        threads = Threads(read)
        found = threads.read()
        assert sorted(thread.tid for thread in found) == sorted(json.loads(told))
        assert len({thread.id for thread in found}) == 6
        assert threads.read() == found
        tids = go_on(process)
        later = threads.read()
        assert sorted(thread.tid for thread in later) == sorted(tids)
        assert len(set(found) & set(later)) >= 3
        child = go_on(process)
        try:
            forked = open_python(child, find_interpreter(roots.PROC, child))
            assert [thread.tid for thread in Threads(forked).read()] == [child]
            forked.close()
        finally:
            os.kill(child, 9)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a PID namespace needs root and unshare")
@EACH
def test_the_ids_of_another_pid_namespace_are_translated(python):
    command = ["unshare", "--pid", "--fork", "--kill-child", python, "-uc", COME_AND_GO]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        inner = json.loads(process.stdout.readline())
        assert min(inner) == 1
        pid = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        read = open_python(pid, find_interpreter(roots.PROC, pid))
        found = {thread.tid for thread in Threads(read).read()}
        read.close()
        assert found == {int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()}
        assert len(found) == len(inner)
        process.kill()


def record(*ids):
    """Return a pthread's record that holds these numbers, from its start."""
    return b"".join(number.to_bytes(4, "little") for number in ids).ljust(1152, b"\0")


def test_the_place_of_the_id_is_narrowed_by_each_thread():
    records = _Records()
    # of the first thread the process's id, and a small number that is by chance that of a thread
    assert records.ids([record(9, 100, 100, 7)], {100, 7}) == [100]
    assert records.ids([record(9, 100, 100, 7), record(9, 101, 100, 7)], {100, 101, 7}) == [100, 101]
    # one that is just ending has none
    assert records.ids([record(9, 100, 100, 7), record(9, 0, 100, 7)], {100, 7}) == [0, 0]
    assert records.ids([record(9, 100, 100, 7), None], {100, 7}) == [100, 0]
    assert _Records().ids([None], {100}) == [0]
    assert _Records().ids([record(1, 2)], {100}) == [0]


CIRCLE = """
import ctypes, sys, threading, time
for _ in range(3):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("up")
sys.stdin.read()
"""


@EACH
def test_a_list_of_threads_without_an_end_ends(python):
    with opened(CIRCLE, python=python) as (read, process, _):
        threads = Threads(read)
        newest = threads.read()[0]
        place = newest.address + read.layout["ts.next"]
        overwrite(process.pid, place, newest.address)
        assert len(threads.read()) == MAX_THREADS
        process.kill()


def test_own_threads_of_this_test_are_seen():
    """Also the one that runs this: `sys.executable` is the interpreter of the tests."""
    read = open_python(os.getpid(), find_interpreter(roots.PROC, os.getpid()))
    found = Threads(read).read()
    read.close()
    assert os.getpid() in {thread.tid for thread in found}
    assert sys.version.startswith(read.version)
