"""Stacks of real interpreters: of threads at rest against py-spy, of threads that never rest against what can be."""

import contextlib
import itertools
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pythons import EACH, EACH_AT_LENGTH, SOME, opened, overwrite
from serving import interpreters

from perfwatch.probes.cpython.codes import Codes
from perfwatch.probes.cpython.collector import Collector
from perfwatch.probes.cpython.debug_offsets import read_description
from perfwatch.probes.cpython.frame_form import MAX_DEPTH
from perfwatch.probes.cpython.layout import Layout
from perfwatch.probes.cpython.walk import Walker
from perfwatch.probes.errors import Unavailable, Vanished

QUIET = """
import asyncio, sys, threading
hold, ready = threading.Event(), threading.Semaphore(0)
def wait(*_):
    ready.release()
    hold.wait()
    return 1
def deep(left):
    return deep(left - 1) if left else wait()
def generate():
    yield
    wait()
    yield
def consume():
    for _ in generate():
        pass
class Built:
    def delegate(self):
        yield from generate()
def delegated():
    list(Built().delegate())
async def inner():
    wait()
async def outer():
    await inner()
def coroutine():
    asyncio.run(outer())
def class_body():
    class Body:
        value = wait()
def callback():
    sorted([2, 1], key=lambda item: wait(item))
def comprehension():
    return [1 for _ in ()], {
        item: wait(item)
        for item in (1,)
    }
def nested():
    return list(map(lambda item: [wait(each) for each in item], [[1]]))
def handling():
    try:
        raise KeyError
    except KeyError:
        with open("/dev/null") as one, \\
             open("/dev/null") as other:
            wait(
                one,
                other,
            )
def dynamic():
    exec("def made():\\n\\n\\n    wait()\\nmade()", {"wait": wait})
def foreign():
    def gr\u00f6\u00dfe_\u6771\u4eac():
        wait()
    gr\u00f6\u00dfe_\u6771\u4eac()
class Magic:
    def __getattr__(self, name):
        return wait()
    def __del__(self):
        wait()
def attribute():
    Magic().missing
def finaliser():
    magic = Magic()
    del magic
KINDS = [consume, delegated, coroutine, class_body, callback, comprehension, nested, handling, dynamic, foreign]
KINDS += [attribute, finaliser, lambda: deep(30), lambda: deep(700)]
for kind in KINDS:
    threading.Thread(target=kind, daemon=True).start()
    ready.acquire()
print("up")
sys.stdin.read()
"""
PY_SPY = Path(sys.executable).with_name("py-spy")


def named(read, reading):
    """Return the stacks of a reading by thread id: (function, file, line), the innermost first."""
    codes = Codes(read)
    frames = {tid: [codes.frame(*place) for place in stack] for tid, stack in reading.threads}
    return {tid: [(each.function, each.file, each.line) for each in stack] for tid, stack in frames.items()}


def settled(walker):
    """Read until all threads rest."""
    end = time.monotonic() + 10
    before = walker.read()
    while True:
        time.sleep(0.02)
        now = walker.read()
        if now == before and now.gil_is_free:
            return now
        assert time.monotonic() < end
        before = now


def by_py_spy(pid):
    dumped = subprocess.run([PY_SPY, "dump", "--json", "--pid", str(pid)], capture_output=True, check=True).stdout
    return {
        thread["os_thread_id"]: [(frame["name"], frame["filename"], frame["line"]) for frame in thread["frames"]]
        for thread in json.loads(dumped)
    }


@EACH
def test_stacks_at_rest_are_those_of_py_spy_frame_by_frame(python):
    with opened(QUIET, python=python) as (read, process, _):
        found = named(read, settled(Walker(read)))
        assert "TracerPid:\t0" in Path(f"/proc/{process.pid}/status").read_text()
        assert found == by_py_spy(process.pid)
    assert len(found) == 15
    assert max(len(stack) for stack in found.values()) > 700


@pytest.mark.skipif("3.13" not in interpreters(), reason="needs a Python 3.13")
def test_what_an_interpreter_says_itself_is_enough_for_its_stacks():
    """As of versions that there is no table of: no data stack, no handoffs, no statistics of the collector."""
    with opened(QUIET, python=interpreters()["3.13"]) as (read, process, _):
        layout = read_description(read.memory, read.runtime).layout
        read.layout = Layout(layout.minor, layout.offsets)
        reading = settled(Walker(read))
        assert reading.gil_handoffs is None
        assert named(read, reading) == by_py_spy(process.pid)
        collector = Collector(read).read()
        assert (collector.enabled, collector.collecting, collector.generations) == (None, False, ())


TORTURE = """
import sys, threading
def a(): b(); c(); d()
def b(): e(); f()
def c(): f(); g()
def d(): h(); e(); g()
def e(): i(); j()
def f(): j(); k()
def g(): k(); i()
def h(): return l() + l()
def i(): return 1
def j(): return m()
def k(): return 2
def l(): return 3
def m(): return 4
def main():
    while True:
        a()
for _ in range(int(sys.argv[1])):
    threading.Thread(target=main, daemon=True).start()
print("up")
sys.stdin.read()
"""
CALLS = {"main": "a", "a": "bcd", "b": "ef", "c": "fg", "d": "heg", "e": "ij", "f": "jk", "g": "ki", "h": "l", "j": "m"}
POSSIBLE = {(caller, callee) for caller, callees in CALLS.items() for callee in callees}
MOST_IMPOSSIBLE = 0.015


def torture(python, threads, readings):
    """Read threads whose functions take less than a microsecond; returns how many stacks were possible, and not."""
    possible = impossible = 0
    with opened(TORTURE, python=python, arguments=[threads]) as (read, _, _):
        walker, codes = Walker(read), Codes(read)
        while possible + impossible < readings:
            for _, stack in walker.read().threads:
                frames = [codes.frame(*place) for place in reversed(stack or ())]
                functions = [frame.function for frame in frames if frame]
                if not all(frames):
                    impossible += 1
                elif "main" in functions:
                    called = functions[functions.index("main") :]
                    is_possible = all(each in POSSIBLE for each in itertools.pairwise(called))
                    possible += is_possible
                    impossible += not is_possible
                elif functions and functions != ["<module>"]:
                    impossible += "Thread.run" not in functions[-1] and functions[-1] != "run"
            time.sleep(0.0005)
    return possible, impossible


@EACH_AT_LENGTH
def test_stacks_of_functions_below_a_microsecond_are_possible(python):
    possible, impossible = torture(python, 1, 700)
    # So few readings may be off by three deviations, as chance has it.
    assert impossible / (possible + impossible) <= MOST_IMPOSSIBLE + 3 * math.sqrt(MOST_IMPOSSIBLE / 700)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 4])
@EACH
def test_many_more_of_them_are_possible(python, threads):
    possible, impossible = torture(python, threads, 20_000)
    assert impossible / (possible + impossible) <= MOST_IMPOSSIBLE


COME_AND_GO = """
import os, sys, threading
def run(left):
    if left:
        run(left - 1)
    else:
        sum(range(50000))
print("up")
while True:
    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


@EACH_AT_LENGTH
def test_threads_that_come_and_go_have_stacks_of_their_own(python):
    with opened(COME_AND_GO, python=python) as (read, _, _):
        walker, codes = Walker(read), Codes(read)
        seen, whole = set(), 0
        end = time.monotonic() + 20
        while len(seen) < 50 or whole < 30:
            assert time.monotonic() < end
            for tid, stack in walker.read().threads:
                seen.add(tid)
                # one that has just ended is at times read as it was
                functions = [frame.function for place in stack or () if (frame := codes.frame(*place))]
                depth = functions.count("run")
                whole += bool(depth)
                assert depth <= 10


DEEP = """
import sys, threading
def deep(left):
    if left:
        deep(left - 1)
    else:
        sys.stdin.read()
threading.Thread(target=deep, args=(300,), daemon=True).start()
print("up")
threading.Event().wait()
"""


def deep_thread(read):
    """Return the thread that is deep in calls, and the address of its innermost frame."""
    walker = Walker(read)
    settled(walker)
    watched = max(walker._watched, key=lambda each: len(each.told.stack))
    layout, memory = read.layout, read.memory
    if layout.get("ts.cframe") is not None:
        leaf = memory.word(memory.word(watched.thread.address + layout["ts.cframe"]) + layout["cframe.current_frame"])
    else:
        leaf = memory.word(watched.thread.address + (layout.get("ts.frame") or layout["ts.current_frame"]))
    return watched.thread, leaf


def garbage(read, thread, leaf):
    """Return what a hostile process could make of a frame: name -> (address, words)."""
    layout = read.layout
    code = read.memory.word(leaf + layout["f.code"])
    texts = {name: read.memory.word(code + layout[name]) for name in ("co.filename", "co.name")}
    table = read.memory.word(code + layout[(layout.get("co.linetable") and "co.linetable") or "co.lnotab"])
    cases = {
        "a frame that called itself": (leaf + layout["f.back"], leaf),
        "a caller that is nowhere": (leaf + layout["f.back"], 0x1234),
        "a caller beyond memory": (leaf + layout["f.back"], 2**64 - 1),
        "a caller that is its code": (leaf + layout["f.back"], code),
        "a code object that is nowhere": (leaf + layout["f.code"], 0x1234),
        "a code object that is the frame": (leaf + layout["f.code"], leaf),
        "a name that is nowhere": (code + layout["co.name"], 0x1234),
        "a name of 2**62 characters": (texts["co.name"] + layout["str.length"], 2**62),
        "a file that is a frame": (code + layout["co.filename"], leaf),
        "a line table of 2**62 bytes": (table + layout["bytes.size"], 2**62),
        "a thread that is another": (thread.address + layout["ts.id"], 77),
        "an innermost frame that is nowhere": (thread.address + Walker(read)._copier.pointer, 0x1234),
        "a list of threads that is nowhere": (read.interpreter_state + layout["is.threads_head"], 0x1234),
        "no thread": (read.interpreter_state + layout["is.threads_head"], 0),
    }
    if layout.get("ts.datastack_chunk") is not None:
        chunk = read.memory.word(thread.address + layout["ts.datastack_chunk"])
        cases |= {
            "a chunk that is nowhere": (thread.address + layout["ts.datastack_chunk"], 0x1234),
            "a chunk of 2**63 bytes": (chunk + layout["chunk.size"], 2**63),
            "a chunk behind itself": (chunk + layout["chunk.previous"], chunk),
            "a stack that is full": (thread.address + layout["ts.datastack_top"], 2**64 - 1),
        }
    return cases


def cases_of(python):
    with opened(DEEP, python=python) as (read, _, _):
        return list(garbage(read, *deep_thread(read)))


@SOME
def test_memory_that_makes_no_sense_costs_a_stack_and_little_time(python):
    for name in cases_of(python):
        with opened(DEEP, python=python) as (read, process, _):
            address, word = garbage(read, *deep_thread(read))[name]
            overwrite(process.pid, address, word)
            walker, codes = Walker(read), Codes(read)
            began = time.process_time()
            with contextlib.suppress(Unavailable):
                for _ in range(3):
                    for _, stack in walker.read().threads:
                        assert len(stack or ()) <= MAX_DEPTH
                        for place in stack or ():
                            codes.frame(*place)
                            codes.native_call(*place)
            assert time.process_time() - began < 1, name
            process.kill()
            process.wait()
            with pytest.raises(Vanished):
                walker.read()


def test_a_thread_that_was_listed_before_it_began_is_told_by_its_own_id_later():
    with opened("import sys; print(); sys.stdin.read()") as (read, process, _):
        walker = Walker(read)
        listed = walker._threads.read
        walker._threads.read = lambda: [thread._replace(tid=1) for thread in listed()]
        assert [tid for tid, _ in walker.read().threads] == [1]
        walker._threads.read, walker._listed = listed, None
        assert [tid for tid, _ in walker.read().threads] == [process.pid]
