"""Whatever lies in a target's memory, asking what its threads hold neither fails nor takes long, and nothing stays."""

import random

import costing
from pythons import SOME, opened, overwrite
from waiting import until

from perfwatch.probes.cpython.held import HeldLocks
from perfwatch.probes.cpython.threads import Threads

WAITING = """
import sys, threading
class Thing:
    lock = threading.Lock()
    def __init__(self):
        self.own, self.other = threading.Lock(), threading.RLock()
    def run(self):
        self.own.acquire()
        try:
            with self.lock:
                module_lock.acquire()
                inner(self.other)
        finally:
            module_lock.release()
            self.own.release()
def inner(lock):
    lock.acquire()
    try:
        met.wait()
        lost.acquire()
    finally:
        lock.release()
module_lock, lost, met, thing = threading.Lock(), threading.Lock(), threading.Barrier(2), Thing()
lost.acquire()
threading.Thread(target=thing.run, daemon=True).start()
met.wait()
codes = [Thing.run.__code__, inner.__code__]
parts = [part for code in codes for part in (code.co_names, code.co_code, code.co_varnames)]
objects = [*codes, *parts, *codes[0].co_names, globals(), thing, vars(Thing).get("lock"), Thing, Thing.__mro__, object]
objects += [module_lock, thing.own, thing.other, type(lost), type(thing.other)]
print(*map(id, objects), flush=True)
sys.stdin.read()
"""
VALUES = (0, 1, 2**64 - 1, 2**63, 2**47 - 8, 2**31 - 1, 4096, 0xDEADBEEF, 24)
BYTES = 512


@SOME
def test_overwritten_words_are_noticed_or_do_no_harm(python):
    chance = random.Random(7)
    with opened(WAITING, python=python) as (read, process, line):
        waiting = next(thread.address for thread in Threads(read).read() if thread.tid != process.pid)
        until(lambda: len(HeldLocks(read).of(waiting, 1).locks) == 4)
        whole = HeldLocks(read).of(waiting, 1)
        addresses, changed = [int(address) for address in line.split()], 0
        for _ in range(400):
            place = chance.choice(addresses) + 8 * chance.randrange(BYTES // 8)
            was = read.memory.word(place)
            if was is None:
                continue
            overwrite(process.pid, place, chance.choice([*VALUES, *addresses, was ^ 1 << chance.randrange(64)]))
            with costing.at_most(0.5):
                changed += HeldLocks(read).of(waiting, 1) != whole
            overwrite(process.pid, place, was)
        assert changed
        assert HeldLocks(read).of(waiting, 1) == whole
