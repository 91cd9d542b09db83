"""The raw records of what the Python code did: frames, stacks, who held the interpreter lock, the garbage collector.

The rules of `records.py` hold: times are CLOCK_MONOTONIC nanoseconds, counters cumulative, absent is None, names are
untrusted, fields are only ever added at the end, with a default. A stack is a tuple of places in a table of frames, the
innermost frame first; each record brings its own table, so that any second of a recording can be read by itself.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

MAX_FRAME_CHARS: Final = 256
"""Of a function's name, and of a file's."""
MAX_FRAMES: Final = 48
"""Of a stack that was walked in the kernel; a deeper one keeps its innermost."""


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One function that was being executed, and where in it; there are many of these, and none is in a cycle."""

    function: str
    """Its qualified name (3.11 and later), else the bare one. Of native code: what was called, as the caller wrote it
    (`hashlib.sha256`), or the symbol. Untrusted."""
    file: str
    """As its code object says; of native code the library, or empty. Untrusted."""
    line: int
    """Of the instruction; 0 where it is not known."""
    is_native: bool = False


class StackTable(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Stacks, each told once."""

    frames: tuple[Frame, ...] = ()
    stacks: tuple[tuple[int, ...], ...] = ()
    """Places in `frames`, the innermost first."""

    def stack(self, place: int | None) -> tuple[Frame, ...]:
        """Return the frames of a stack, the innermost first; none for None, or for a place that is not there."""
        if place is None or not 0 <= place < len(self.stacks):
            return ()
        frames, count = self.frames, len(self.frames)
        return tuple([frames[at] for at in self.stacks[place] if 0 <= at < count])


class StackSample(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one thread was executing at one moment."""

    at_ns: int
    tid: int
    """In the PID namespace of perfwatch."""
    stack: int
    """Place in the record's table."""
    holds_gil: bool


class ThreadStacks(msgspec.Struct, frozen=True, array_like=True, tag="stacks"):
    """Stacks of one process's threads, read from outside since the last record of this process."""

    at_ns: int
    pid: int
    source: Literal["memory", "py-spy"]
    """`memory`: read without a pause; `py-spy`: by py-spy, for an interpreter that perfwatch has no table of."""
    table: StackTable
    samples: tuple[StackSample, ...]
    """In order of time; of a thread that did not move, all its readings too."""
    torn: int = 0
    """Readings given up because the stack changed each time while it was read."""


class ThreadName(msgspec.Struct, frozen=True, array_like=True):
    """A thread's name in Python."""

    tid: int
    name: str
    """Untrusted."""


class GilHold(msgspec.Struct, frozen=True, array_like=True):
    """How often a thread was found holding the interpreter lock."""

    tid: int
    readings: int
    """Cumulative."""


class Generation(msgspec.Struct, frozen=True, array_like=True):
    """A generation of the garbage collector; counters cumulative, as `gc.get_stats()` has them."""

    threshold: int | None
    count: int | None
    """Of `gc.get_count()`, at this moment."""
    collections: int
    collected: int
    uncollectable: int


class LockedThread(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A thread that has stood still for a second, holds locks, and waits for one."""

    tid: int
    since_ns: int
    """When it was first seen where it stands: within 20 ms of when it came there."""
    waits_for: int
    """Address at which it waits in futex(2)."""
    holds: tuple[int, ...]
    """Such addresses of the locks that it holds."""


class PythonSample(msgspec.Struct, frozen=True, array_like=True, tag="python"):
    """The interpreter of one process, once a second: its lock and its garbage collector."""

    at_ns: int
    pid: int
    version: str
    """`3.11.7`."""
    gil_handoffs: int | None
    """How often the interpreter lock changed hands, cumulative."""
    gil_readings: int
    """How often it was looked at, cumulative."""
    gil_free: int
    """In how many of these readings nobody held it."""
    gil_held: tuple[GilHold, ...]
    gc_enabled: bool | None
    generations: tuple[Generation, ...]
    """The youngest first; empty where they cannot be read."""
    threads: tuple[ThreadName, ...] = ()
    """Those whose names are known."""
    locked: tuple[LockedThread, ...] = ()
    """Up to Python 3.13; empty later."""


class GcPause(msgspec.Struct, frozen=True, array_like=True, tag="gc"):
    """One run of the garbage collector: its thread did nothing else, and kept the interpreter lock."""

    at_ns: int
    pid: int
    tid: int
    """0 where it is not known: `polled` only."""
    started_ns: int
    paused_ns: int
    cpu_ns: int | None
    """How much of it the thread ran; None where that was not seen."""
    generation: int | None
    request: int | None
    """Id of the request that the thread was serving."""
    source: Literal["probe", "watchpoint", "polled"]
    """`probe`: a USDT or a uprobe; `watchpoint`: the processor's, on the collector's flag; `polled`: found by
    looking now and then, so its length is a guess and short ones are missed."""
    collected: int | None = None
    """Objects that it freed."""


class Span(msgspec.Struct, frozen=True, array_like=True, tag="span"):
    """One request, as the middleware in the target told it; everything in it is the target's word."""

    at_ns: int
    """When it ended, so that it stands before the same request of the ledger."""
    pid: int
    tid: int | None
    """The thread that it ended on; None where the target's PID namespace is another than perfwatch's."""
    started_ns: int
    ended_ns: int
    """When the last byte of the response was handed to the server."""
    method: str | None
    target: str
    """Path without the query string, as it was sent."""
    route: str | None
    """The route's name, as its framework spells it: `/users/{user_id}`, `/users/<int:user_id>`."""
    status: int | None
    error: str | None
    """Class of an exception that came through the whole application."""
    code: StackTable = StackTable()
    """Of a slow request of an endpoint that was slow before: pyinstrument's stacks, from the middleware inwards. The
    frame `[await]` stands innermost where it waited, `[out-of-context]` where somebody else's code ran; a stack without
    frames is what was too much to be told."""
    spent_ns: tuple[int, ...] = ()
    """Time of each of the stacks in `code`, running or waiting: readings at least 5 ms apart."""


class Task(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One asyncio task at one moment."""

    id: int
    """The same at each reading of the same task."""
    client: str | None
    """The connection that it serves, as in `ServedRequest.remote`; None where it serves none, or that is unknown."""
    stack: int
    """Place in the record's table: the coroutines that await each other, the innermost first."""
    awaits: str | None
    """Type of what the innermost waits for (`_asyncio.Future`); untrusted. None where it does not wait."""
    waits_for: int = 0
    """Address of the asyncio.Lock that it has waited for since a second or longer; 0: it does not."""
    holds: tuple[int, ...] = ()
    """Addresses of the locks that it holds meanwhile."""
    since_ns: int = 0
    """Since when it has been seen there; 0 where it waits for none."""
    target: str | None = None
    """Path of the request that it serves, where that shares its connection with others: a stream of HTTP/2."""
    used: str | None = None
    """Own address of the connection that it waits on, as in `Call.local`; None: it waits for something else, or that is
    not known."""


class TasksSample(msgspec.Struct, frozen=True, array_like=True, tag="tasks"):
    """The asyncio tasks of one process at one moment, read from outside without a pause."""

    at_ns: int
    pid: int
    count: int
    table: StackTable
    tasks: tuple[Task, ...]
    """At most 1,000; those that serve a connection first."""
