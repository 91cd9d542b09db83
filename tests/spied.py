"""Python programs whose threads execute what is known, for tests of what reads their stacks."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import sys
import tempfile
from pathlib import Path

import serving
from ledgering import script
from waiting import until

PYTHONS = {name: path for name, path in serving.interpreters().items() if name != "3.6"} | {
    "the tests' own": Path(sys.executable)
}

QUIET = """
import functools, json, os, re, sys, threading, time
lock = threading.Lock(); lock.acquire()
class Service:
    def work(self, depth):
        if depth:
            return self.work(
                depth - 1
            )
        return [lock.acquire() for _ in range(1)]
    @staticmethod
    def sort():
        return sorted([1, 2], key=lambda one:
            lock.acquire())
    def __len__(self):
        with lock:
            return 1
def nested():
    def inner():
        yield lock.acquire()
    for each in inner():
        pass
def made():
    exec(compile("def built():\\n\\n    lock.acquire()\\nbuilt()", "<made>", "exec"), {"lock": lock})
def failing():
    try:
        1 / 0
    except ZeroDivisionError:
        lock.acquire()
def replacing():
    re.sub("a", lambda found: lock.acquire(), "a")
kinds = [functools.partial(Service().work, 3), Service.sort, lambda: len(Service()), nested, made, failing, replacing]
kinds.append(lambda: time.sleep(1000))
tids = {}
def run(kind):
    tids[threading.get_ident()] = int(os.readlink("/proc/thread-self").rpartition("/")[2])
    kind()
for number, kind in enumerate(kinds):
    threading.Thread(target=run, args=[kind], name="kind-%d" % number, daemon=True).start()
def settled():
    tasks = ["/proc/self/task/%d/stat" % tid for tid in tids.values()]
    return len(tids) == len(kinds) and all(open(task).read().rpartition(")")[2].split()[0] == "S" for task in tasks)
while not settled():
    time.sleep(0.02)
def stack(frame):
    while frame:
        code = frame.f_code
        yield getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno
        frame = frame.f_back
frames = sys._current_frames()
print(json.dumps({thread.name: [tids[thread.ident], list(stack(frames[thread.ident]))]
                  for thread in threading.enumerate() if thread.ident in tids}))
sys.stdin.read()
"""
"""Says of each thread its number (as its own PID namespace counts) and its frames, as Python itself has them."""

COUNTING = """
import mmap, sys, threading
with open(sys.argv[1], "r+b") as file:
    count = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
lock = threading.Lock(); lock.acquire()
for number in range(3):
    threading.Thread(target=lock.acquire, name="waiter-%d" % number, daemon=True).start()
def step():
    count[0] += 1
def counting():
    while True:
        step()
threading.Thread(target=counting, name="counter", daemon=True).start()
print("ready")
sys.stdin.read()
"""


@contextlib.contextmanager
def quiet(python):
    """Run threads that all wait; yields the process, and by thread name its number and its frames."""
    with script(QUIET, python=python) as (process, told):
        yield process, {name: (tid, list(map(tuple, frames))) for name, (tid, frames) in json.loads(told).items()}


@contextlib.contextmanager
def counting(python=sys.executable):
    """Run a thread that counts; yields the process, and a function that returns how far it has got."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(8))
        file.flush()
        with (
            mmap.mmap(file.fileno(), 8) as count,
            script(COUNTING, python=python, arguments=[file.name]) as (process, _),
        ):
            yield process, lambda: int.from_bytes(count[:], sys.byteorder)


def tracer_of(pid):
    """Return the PID that traces a process; 0 for none."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("TracerPid:")))


def states_of(pid):
    """Return the states of a process's threads, as letters."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found.add((task / "stat").read_text().rpartition(")")[2].split()[0])
    return found


def await_advance(count):
    """Wait until a counter gets on."""
    begun = count()
    until(lambda: count() > begun)


def children():
    """Return the PIDs of this process's children, as the kernel lists them."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
