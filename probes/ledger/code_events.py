"""The kernel's events about Python code: stacks that it walked, runs of the collector. Layouts: layout.bpf.h."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.collector import Collector
from perfwatch.probes.errors import Malformed

if TYPE_CHECKING:
    from perfwatch.probes.cpython.python import Python

WAITED, WOKE, RAN = range(3)  # enum stack_role
FRAMES: Final = 48
PYTHON: Final = struct.Struct("=QQ12H")
STACK: Final = struct.Struct("=IIQQIIIIQ")
"""Its frames follow: as many as it says."""
PAUSE: Final = struct.Struct("=IIQQQQQIIII")
_FRAME: Final = struct.Struct("=QQ")
MOST_STACK_BYTES: Final = STACK.size + FRAMES * _FRAME.size
_BYTES_OF_A_FRAME: Final = 80
"""From 3.11 on: as much as is read of one; it lies within what the interpreter has allotted."""
_BYTES_OF_A_FRAME_OBJECT: Final = 112


class StackEvent(NamedTuple):
    """Where in its code a thread was when a request's wait began, when it was ended, or while it ran for one."""

    request: int
    at_ns: int
    pid: int
    """Whose code it is."""
    tid: int
    role: int
    ip: int
    """`RAN`: the instruction that it was at in user space."""
    frames: tuple[tuple[int, int], ...]
    """(code object, position), the innermost first."""


class PauseEvent(NamedTuple):
    """One run of the garbage collector."""

    started_ns: int
    ended_ns: int
    cpu_ns: int | None
    """None where its thread served no request."""
    request: int | None
    pid: int
    tid: int
    generation: int
    collected: int
    """Objects."""


def parse_stack(data: bytes) -> StackEvent:
    """Read `struct stack`; raises Malformed if it holds fewer frames than it says."""
    _, _, request, at_ns, pid, tid, role, count, ip = STACK.unpack_from(data)
    if len(data) < STACK.size + count * _FRAME.size or role > RAN:
        raise Malformed(f"a stack of {count} frames in {len(data)} bytes")
    return StackEvent(request, at_ns, pid, tid, role, ip, stack_frames(data, count))


def stack_frames(data: bytes, count: int) -> tuple[tuple[int, int], ...]:
    """Return the first so many frames of a `struct stack`."""
    return tuple(_FRAME.iter_unpack(data[STACK.size : STACK.size + count * _FRAME.size]))


def parse_pause(data: bytes) -> PauseEvent:
    """Read `struct pause`."""
    _, _, started_ns, ended_ns, cpu_ns, request, collected, pid, tid, generation, is_followed = PAUSE.unpack(data)
    told_ns = cpu_ns if is_followed else None
    return PauseEvent(started_ns, ended_ns, told_ns, request or None, pid, tid, generation, collected)


def pack_python(python: Python) -> bytes:
    """Make `struct python`, by which the kernel walks frames and tells the collections apart."""
    layout = python.layout
    has_cframe = "ts.cframe" in layout.offsets
    has_objects = "f.lasti" in layout.offsets
    frame = "ts.frame" if has_objects else "ts.cframe" if has_cframe else "ts.current_frame"
    counts = layout.get("gc.stats")
    return PYTHON.pack(
        python.interpreter_state,
        0 if counts is None else Collector(python).address + counts,
        layout["is.threads_head"],
        layout["ts.next"],
        layout["ts.thread_id"],
        layout[frame],
        has_cframe,
        layout.get("cframe.current_frame") or 0,
        layout["f.code"],
        layout["f.lasti" if has_objects else "f.prev_instr"],
        has_objects,
        layout["f.back"],
        layout.get("f.owner") or 0,
        _BYTES_OF_A_FRAME_OBJECT if has_objects else _BYTES_OF_A_FRAME,
    )
