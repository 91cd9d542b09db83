"""What real threads hold, and what they wait for, as it is read from outside; the tables of exception handlers."""

import dis
import time
from contextlib import nullcontext

import pytest
from pythons import PYTHONS, opened

from perfwatch.probes.cpython.entered import blocks
from perfwatch.probes.frames import LockedThread
from perfwatch.probes.stacks.standing import Standing

KNOWN = pytest.mark.parametrize(
    "python", [path for name, path in PYTHONS.items() if name in {"3.11", "3.12", "3.13", "distribution's 3.11"}]
)
HOLDING = """
import sys, threading
a, b, c = threading.Lock(), threading.RLock(), threading.Lock()
lost = threading.Lock(); lost.acquire()
met = threading.Barrier(4)
def ring_1():
    with a:
        for number in (1, 2):
            try:
                met.wait()
                with b:
                    pass
            finally:
                pass
def ring_2():
    with c, b:
        inner()
def inner():
    met.wait()
    a.acquire()
def innocent():
    with c_free:
        pass
    met.wait()
    lost.acquire()
c_free = threading.Lock()
def idle():
    threading.Event().wait()
for target in (ring_1, ring_2, innocent, idle):
    threading.Thread(target=target, daemon=True).start()
met.wait()
print(len(threading.enumerate()), flush=True)
sys.stdin.read()
"""


def standing(python, count, seconds=5.0):
    """Return which threads hold and wait, once so many do: they do not begin at one moment."""
    from perfwatch.probes.cpython.walk import Walker

    walker, found = Walker(python), Standing(python)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        now_ns = time.monotonic_ns()
        found.see(walker.read().threads, now_ns)
        if len(locked := found.locked(now_ns)) >= count:
            return locked
    return ()


@KNOWN
def test_threads_that_wait_for_each_other_hold_what_the_other_waits_for(python):
    with opened(HOLDING, python=python) as (read, _, _line):
        one, other = standing(read, 2)
    assert {type(one), type(other)} == {LockedThread}
    assert one.waits_for in other.holds
    assert other.waits_for in one.holds
    assert sorted((len(one.holds), len(other.holds))) == [1, 2]
    assert one.tid != other.tid


def test_of_versions_without_tables_nothing_is_told():
    older = [path for name, path in PYTHONS.items() if name in {"3.8", "3.10"}]
    for python in older:
        with opened(HOLDING, python=python) as (read, _, _line):
            assert standing(read, 1, seconds=1.5) == ()


def sample():
    with nullcontext() as first:
        for _ in range(3):
            try:
                with nullcontext():
                    print(first)
            finally:
                print()


def test_the_table_of_exception_handlers_is_read_as_dis_reads_it():
    entries = dis._parse_exception_table(sample.__code__)
    assert entries
    assert [(one.start, one.end, one.height) for one in blocks(sample.__code__.co_exceptiontable)] == [
        (entry.start, entry.end, entry.depth) for entry in entries
    ]


@pytest.mark.parametrize("table", [b"", b"\xff", b"\xff" * 64, bytes(range(256)) * 8])
def test_a_table_that_makes_no_sense_ends(table):
    assert all(one.start <= one.end for one in blocks(table))
