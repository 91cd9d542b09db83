"""What real threads hold, and what they wait for, as it is read from outside; the tables of exception handlers."""

import dis
import json
import time
from contextlib import nullcontext

import pytest
from pythons import EACH_AT_LENGTH, PYTHONS, opened

from perfwatch.probes.cpython.handlers import blocks
from perfwatch.probes.frames import LockedThread
from perfwatch.probes.stacks.standing import Standing

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
    """Return which threads hold and wait, a little after so many do: they do not begin at one moment."""
    from perfwatch.probes.cpython.walk import Walker

    walker, found, locked = Walker(python), Standing(python), ()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        now_ns = time.monotonic_ns()
        found.see(walker.read().threads, now_ns)
        if len(locked) < count and len(locked := found.locked(now_ns)) >= count:
            until = time.monotonic() + 0.3
    return found.locked(time.monotonic_ns())


@EACH_AT_LENGTH
def test_threads_that_wait_for_each_other_hold_what_the_other_waits_for(python):
    with opened(HOLDING, python=python) as (read, _, _line):
        one, other = standing(read, 2)
    assert {type(one), type(other)} == {LockedThread}
    assert one.waits_for in other.holds
    assert other.waits_for in one.holds
    assert sorted((len(one.holds), len(other.holds))) == [1, 2]
    assert one.tid != other.tid


# Each function runs in a thread of its own until it waits for ever; its docstring names the locks that it holds then.
TAKING = """
import ctypes, json, sys, threading, time, types
Lock, RLock = threading.Lock, threading.RLock
lost, plain, other, third, again, given, signal, branch, timed, tried = (Lock() for _ in range(10))
swapped, hidden, inside, unlocked, conditional, closed, of_class, of_module = (Lock() for _ in range(8))
of_slot, of_instance, by_with, replaced, ready = (Lock() for _ in range(5))
recursive, owned, handed, entered = (RLock() for _ in range(4))
lost.acquire()
module = types.ModuleType("module")
module.lock = of_module
for lock in (branch, other, hidden):
    lock.acquire()
condition, on_lock = threading.Condition(entered), threading.Condition(conditional)

class Base:
    lock = of_class
    _own = None

class Thing(Base):
    def __init__(self):
        self._own = of_instance
        self.__dict__["computed"] = hidden
    @property
    def computed(self):
        return other_hidden
    def run(self):
        "of_instance of_class"
        self._own.acquire()
        try:
            self.lock.acquire()
            try:
                lost.acquire()
            finally:
                self.lock.release()
        finally:
            self._own.release()
    def of_property(self):
        ""
        self.computed.acquire()
        lost.acquire()
        self.computed.release()
    def unlock(self):
        unlocked.release()

class Slotted:
    __slots__ = ("lock",)
    def run(self):
        "of_slot"
        self.lock.acquire()
        lost.acquire()
        self.lock.release()

other_hidden = Lock()
thing, slotted = Thing(), Slotted()
slotted.lock = of_slot

def take_plain():
    "plain"
    plain.acquire()
    try:
        wait()
    finally:
        plain.release()
def wait():
    for _ in range(2):
        try:
            lost.acquire()
        except ValueError:
            pass
def take_again():
    "again"
    for _ in range(3):
        again.acquire()
        if _ == 2:
            wait()
        again.release()
def take_of_module(lock=None):
    "of_module"
    if lock is None:
        lock = module
    lock.lock.acquire()
    wait()
    lock.lock.release()
def close():
    lock = closed
    def take_closed():
        "closed"
        lock.acquire()
        wait()
        lock.release()
    return take_closed
take_closed = close()
def take_by_with():
    "by_with"
    with by_with:
        wait()
def take_recursive():
    "recursive"
    recursive.acquire()
    wait()
    recursive.release()
def take_owned():
    "owned entered"
    enter()
    with condition:
        wait()
def enter():
    owned.acquire(True)
def wait_for_owned():
    ""
    ready_for(owned)
    owned.acquire(blocking=True)
def wait_for_entered():
    ""
    ready_for(entered)
    with condition:
        pass
def ready_for(lock):
    while not ctypes.c_uint64.from_address(id(lock) + 24).value:
        time.sleep(0.01)
def give():
    ""
    given.acquire()
    given.release()
    given_now.acquire()
    wait()
    given.release()
given_now = given
def signalled():
    ""
    signal.acquire()
    wait()
def take_in_branch(x=False):
    ""
    if x:
        branch.acquire()
    wait()
    branch.release()
def take_timed():
    ""
    if timed.acquire(timeout=1):
        wait()
    timed.release()
def take_tried():
    ""
    if tried.acquire(blocking=False):
        wait()
    tried.release()
def take_swapped():
    ""
    lock = swapped
    lock.acquire()
    lock = other
    wait()
    lock.release()
def take_unlocked():
    ""
    unlocked.acquire()
    thing.unlock()
    unlocked_now.acquire()
    wait()
    unlocked.release()
unlocked_now = unlocked
def give_further_in():
    ""
    with inside:
        give_it_for_a_while()
def give_it_for_a_while():
    inside.release()
    hold_inside.release()
    while not inside.locked():
        time.sleep(0.01)
    inside.acquire()
hold_inside = Lock()
hold_inside.acquire()
def take_inside():
    "inside"
    hold_inside.acquire()
    inside.acquire()
    wait()
    inside.release()
def wait_for_condition():
    ""
    with conditional:
        on_lock.wait()
def take_conditional():
    "conditional"
    while True:
        with conditional:
            if on_lock._waiters:
                on_lock.notify()
                wait()
def take_replaced():
    ""
    replaced.acquire()
    replace()
    wait()
    replaced.release()
def replace():
    global replaced
    replaced.release()
    replaced = Lock()
calls = [each for name, each in list(globals().items()) if isinstance(each, types.FunctionType)
         and each.__module__ == "__main__" and each.__doc__ is not None] + [thing.run, thing.of_property, slotted.run]
threads = [threading.Thread(target=each, daemon=True) for each in calls]
for thread in threads:
    thread.start()
time.sleep(0.5)
names = {name: ctypes.c_uint64.from_address(id(lock) + 16).value for name, lock in globals().items()
         if type(lock).__name__ in ("lock", "RLock") and not name.endswith("_now") and name != "replaced"}
print(json.dumps([names, [[each.__qualname__, each.__doc__, thread.native_id]
                  for each, thread in zip(calls, threads)]]), flush=True)
sys.stdin.read()
"""


@EACH_AT_LENGTH
def test_what_threads_hold_that_wait_is_told_and_nothing_else(python):
    with opened(TAKING, python=python) as (read, _, told):
        addresses, threads = json.loads(told)
        expected = {name: set(locks.split()) for name, locks, _ in threads}
        names, functions = ({at: name for name, at in addresses.items()}, {tid: name for name, _, tid in threads})
        holding = standing(read, sum(map(bool, expected.values())))
        found = {functions[one.tid]: {names[at] for at in one.holds} for one in holding}
    assert found == {name: locks for name, locks in expected.items() if locks}


TRACED = """
import sys, threading
lock, lost, ready = threading.Lock(), threading.Lock(), threading.Event()
lost.acquire()
def take():
    lock.acquire()
    ready.set()
    lost.acquire()
    lock.release()
if sys.argv[1] == "traced":
    sys.monitoring.use_tool_id(0, "tool")
    sys.monitoring.register_callback(0, sys.monitoring.events.LINE, lambda *_: None)
    sys.monitoring.set_local_events(0, take.__code__, sys.monitoring.events.LINE)
threading.Thread(target=take, daemon=True).start()
ready.wait()
print("up", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("python", [path for name, path in PYTHONS.items() if name == "3.13"])
@pytest.mark.parametrize(("how", "count"), [("traced", 0), ("untraced", 1)])
def test_of_code_that_a_tracer_has_changed_nothing_is_told(python, how, count):
    with opened(TRACED, python=python, arguments=[how]) as (read, _process, _line):
        assert len(standing(read, 1, seconds=1.5)) == count


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
