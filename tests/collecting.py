"""Interpreters whose collector is looked at, for tests: they do as told, and note by gc.callbacks when it ran."""

from __future__ import annotations

import contextlib
import json
import select
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from ledgering import script
from pythons import PYTHONS
from waiting import until

from perfwatch.probes.cpython.derive import VERSIONS
from perfwatch.probes.errors import Unavailable
from perfwatch.probes.pauses import process as process_module
from perfwatch.probes.pauses import watches
from perfwatch.probes.pauses.probe import PausesProbe
from perfwatch.probes.records import GcPause, Loss

DEBIAN = Path("/usr/bin/python3.11")
"""Stripped, with static probes."""

READ_S = 0.03
OBEY = """
import gc, json, os, sys, threading, time
notes = []
def note(phase, info):
    about = info["generation"], info["collected"]
    notes.append((phase, *about, time.monotonic_ns(), threading.get_native_id(), os.getpid()))
gc.callbacks.append(note)
class Node:
    pass
def rubbish(count):
    made = []
    for _ in range(count):
        node = Node()
        node.itself = node
        made.append(node)
        if len(made) > 800:
            made.clear()
def serve(times):
    for _ in range(times):
        rubbish(700)
        time.sleep(0.004)
def grow(count):
    gc.disable()
    kept.extend([] for _ in range(count))
    gc.enable()
kept = []
def in_threads(count, work):
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads
def join(threads):
    for thread in threads:
        thread.join()
gc.collect()
notes.clear()
print("ready")
for line in sys.stdin:
    said = None
    exec(line)
    print(json.dumps(said))
"""


class Collection(NamedTuple):
    """One run of the collector, as the interpreter itself saw it."""

    generation: int
    collected: int
    started_ns: int
    ended_ns: int
    tid: int
    pid: int


def library(version):
    """Return the file that the interpreter's code is in."""
    python = PYTHONS[version]
    shared = python.parents[1] / "lib" / f"libpython{version}.so.1.0"
    return shared if shared.exists() else python.resolve()


BUILT = {version: path for version, path in PYTHONS.items() if version in VERSIONS}
"""Those that were built here, with symbols."""


class Target:
    """A process that does what it is told, while a probe is read."""

    def __init__(self, process, probe):
        self.pid = process.pid
        self.pids = [process.pid]
        self.process = process
        self.probe = probe
        self.records = []

    def read(self):
        self.records += self.probe.read(time.monotonic_ns())

    def tell(self, line):
        """Have it execute a line of Python, without waiting for it."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self, timeout_s=60.0):
        """Read the probe until it is done; return what it `said`."""
        end = time.monotonic() + timeout_s
        while not select.select([self.process.stdout], [], [], READ_S)[0]:
            assert time.monotonic() < end
            self.read()
        line = self.process.stdout.readline()
        assert line, "it has ended"
        self.read()
        return json.loads(line)

    def do(self, line):
        self.tell(line)
        return self.answer()

    def collections(self):
        """Return what it noted, and note no more; those of forks come as `said`."""
        return collections(self.do("gc.callbacks.clear(); said = notes"))

    def until(self, condition):
        """Read until `condition(pauses)` is truthy, and return that."""
        return until(lambda: self.read() or condition(self.pauses), pause_s=0.01, told=lambda: self.records[-5:])

    @property
    def pauses(self):
        """All pauses so far, by their start."""
        return sorted((one for one in self.records if isinstance(one, GcPause)), key=lambda one: one.started_ns)

    @property
    def lost(self):
        return sum(one.lost for one in self.records if isinstance(one, Loss))


def collections(notes):
    """Pair what callbacks noted, thread by thread; one that is within another is told too."""
    found, running = [], {}
    for phase, generation, collected, at_ns, tid, pid in notes:
        if phase == "start":
            running.setdefault((pid, tid), []).append(at_ns)
        else:
            found.append(Collection(generation, collected, running[pid, tid].pop(), at_ns, tid, pid))
    return sorted(found, key=lambda one: one.started_ns)


@contextlib.contextmanager
def watched(python=sys.executable, source=OBEY):
    """Run such a process and attach the probe to it; yields the target."""
    with script(source, python=python) as (process, line):
        assert line == "ready"
        target = Target(process, None)
        with PausesProbe(lambda: target.pids) as target.probe:
            target.read()
            yield target


def at_any_cost(monkeypatch):
    """Have it watched however much that costs the target: tests collect more often than servers."""
    monkeypatch.setattr(process_module, "LIMIT", 1.0)


def only_threads(monkeypatch):
    """As for a user who may not watch CPUs."""
    refuse(monkeypatch, "_on_all_cpus")


def only_polled(monkeypatch):
    """As for a user who may not set watchpoints."""
    refuse(monkeypatch, "_on_all_cpus")
    refuse(monkeypatch, "Watchpoint")


def refuse(monkeypatch, name):
    def refused(*_, **__):
        raise Unavailable("this user may set no watchpoint (Permission denied)", "sysctl kernel.perf_event_paranoid=2")

    monkeypatch.setattr(watches, name, refused)


def watchable():
    """Whether watchpoints can be set here."""
    try:
        watches.Watchpoint(id(watches) & ~3, cpu=0, pages=1).close()
    except Exception:  # noqa: BLE001 - whatever it is
        return False
    return True


NEEDS_WATCHPOINTS = pytest.mark.skipif(not watchable(), reason="needs watchpoints of CPUs (root)")
