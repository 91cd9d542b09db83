"""Whether what is read by a layout makes sense: the last check of a Python that was attached to.

A build can have other structs than its version (a debug build, one with patches), and a patch release other ones than
that which the table was made from: what is internal to the interpreter (`rt`, `is`) may grow, and then what stands
behind it is elsewhere. Then something here is not what it can be: a lock that nobody can hold, a list that does not
lead back, a frame whose code is none. Cost: 0.3 ms, and 0.1 ms a frame.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.codes import Codes
from perfwatch.probes.cpython.collector import Collector
from perfwatch.probes.cpython.gil import Gil
from perfwatch.probes.cpython.objects import POINTER, integer
from perfwatch.probes.cpython.threads import Threads
from perfwatch.probes.cpython.walk import Walker

if TYPE_CHECKING:
    from perfwatch.probes.cpython.python import Python

MAX_FRAMES: Final = 8
"""So many of a thread are looked at."""
ATTEMPTS: Final = 20
PAUSE_S: Final = 0.002
_INT: Final = 4
_MAX_COUNT: Final = 1 << 48
_MAX_INTERVAL_US: Final = 1_000_000
_FLAGS: Final = 3
"""The lowest bits of a back reference in a list of the collector are its own."""


def is_sensible(python: Python) -> bool | None:
    """Return whether all of it makes sense; None if there was too little to look at. Raises Vanished, Unavailable.

    It is looked at while it changes, so what makes no sense is looked at again, 20 times in 40 ms.
    """
    found: bool | None = False
    for _ in range(ATTEMPTS):
        found = _are_threads(python) if _is_lock(python) and _is_collector(python) else False
        if found is not False:
            break
        time.sleep(PAUSE_S)
    return found


def _is_lock(python: Python) -> bool:
    """Whether the lock has an interval, and is held, if at all, by a thread that there is."""
    gil, memory = Gil(python), python.memory
    interval = python.layout.get("gil.interval")
    if interval is not None:
        microseconds = memory.word(gil.address + interval)
        if not microseconds or microseconds > _MAX_INTERVAL_US:
            return False
    state = gil.read()
    return state is not None and state.holder in {None, *(thread.address for thread in Threads(python).read())}


def _is_collector(python: Python) -> bool:
    """Whether the collector has figures that can be, and each of its generations is a list.

    While it collects they are not: it keeps counts of references in their place.
    """
    collector, layout = Collector(python), python.layout
    state = collector.read()
    if state is None or not all(_is_flag(python, collector.address, name) for name in ("gc.enabled", "gc.collecting")):
        return False
    for number, generation in enumerate(state.generations):
        head = collector.address + layout["gc.generations"] + number * layout["sz.generation"]
        figures = (generation.threshold or 0, generation.collections, generation.collected, generation.uncollectable)
        if min(figures) < 0 or max(figures) > _MAX_COUNT or not (state.collecting or _is_list(python, head)):
            return False
    return True


def _is_flag(python: Python, state: int, name: str) -> bool:
    """Whether a field of the collector's state is 0 or 1, if this version says where it is."""
    at = python.layout.get(name)
    data = python.memory.read(state + at, _INT) if at is not None else bytes(_INT)
    return data is not None and integer(data, 0, _INT) <= 1


def _is_list(python: Python, head: int) -> bool:
    """Whether the first object of a generation leads back to its head."""
    first = python.memory.word(head)
    back = python.memory.word(first + POINTER) if first else None
    return back is not None and back & ~_FLAGS == head


def _are_threads(python: Python) -> bool | None:
    """Whether the threads are those of the process, and their frames execute code."""
    threads = Threads(python).read()
    if not threads or all(thread.tid is None for thread in threads):
        return None
    codes = Codes(python)
    stacks = [stack for _, stack in Walker(python).read().threads if stack]
    frames = [codes.frame(*place) for stack in stacks for place in stack[:MAX_FRAMES]]
    return all(frames) if frames else None
