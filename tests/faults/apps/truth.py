"""What a target measured of itself: the ground truth that a ledger is held against. Python 3.7 to 3.13.

Kept in memory and handed out at `/_truth`, so that keeping it disturbs nothing. Times are CLOCK_MONOTONIC.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import json
import os
import time

# One line: cpu time, time on the run queue, slices. The run queue figure is the kernel's own sum of waits.
SCHEDSTAT = "/proc/thread-self/schedstat"
MAX_ENTRIES = 100_000

_entries = collections.deque(maxlen=MAX_ENTRIES)
_path = contextvars.ContextVar("path", default="")
"""Of the request that is worked for: a thread's own, a task's or a greenlet's."""


def native_id():
    """Return the kernel's id of this thread; `threading` knows it from 3.8 on."""
    return int(os.readlink("/proc/thread-self").rpartition("/")[2])  # noqa: PTH115 - Path has it from 3.9 on


def run_delay_ns():
    """How long this thread has waited on a run queue in its life."""
    with open(SCHEDSTAT, "rb") as file:  # noqa: PTH123 - a fast path
        return int(file.read().split()[1])


@contextlib.contextmanager
def request(path):
    """Name the request that is worked for here, and clock its handler as `handler`."""
    _path.set(path)
    with measured("handler"):
        yield


@contextlib.contextmanager
def serving(path):
    """Name the request that a coroutine works for, and clock its handler as `handler`."""
    _path.set(path)
    with awaited("handler"):
        yield


@contextlib.contextmanager
def measured(kind):
    """Clock a stretch: from, to, and of it the thread's CPU time and its time on the run queue."""
    delay_ns, cpu_ns, start_ns = run_delay_ns(), time.thread_time_ns(), time.monotonic_ns()
    try:
        yield
    finally:
        end_ns = time.monotonic_ns()
        cpu_ns = time.thread_time_ns() - cpu_ns
        delay_ns = run_delay_ns() - delay_ns
        _entries.append((_path.get(), kind, start_ns, end_ns, cpu_ns, delay_ns, native_id()))


@contextlib.contextmanager
def awaited(kind):
    """Clock a stretch in which a coroutine waits: its thread works for others meanwhile, so no CPU time is its own."""
    start_ns = time.monotonic_ns()
    try:
        yield
    finally:
        waited(kind, start_ns, time.monotonic_ns())


def waited(kind, start_ns, end_ns):
    """Note a stretch that was clocked elsewhere, in which this request waited."""
    _entries.append((_path.get(), kind, start_ns, end_ns, 0, 0, native_id()))


def as_json():
    """Everything so far: `[[path, kind, start_ns, end_ns, cpu_ns, run_delay_ns, tid], ...]`."""
    return json.dumps(list(_entries)).encode()
