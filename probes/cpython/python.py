"""Attaches to the interpreter of a process: which version it is, how its structs lie, and whether they lie so.

Nothing is believed before it was checked: a build whose structs lie otherwise (another version, a debug build, one
without the interpreter lock) is refused with the reason, for a wrong stack is worse than none. Cost: 0.2 ms.
"""

from __future__ import annotations

import platform
import struct
from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.layout import Layout, layout_of
from perfwatch.probes.cpython.memory import Memory
from perfwatch.probes.errors import Unavailable

if TYPE_CHECKING:
    from perfwatch.probes.readers.interpreter import Interpreter

MACHINE: Final = "x86_64"
"""The tables are of this machine: elsewhere a mutex, and all behind it in a struct, has another size."""
_COOKIE: Final = b"xdebugpy"
_HEAD: Final = struct.Struct("<8sQQ")
"""How `_PyRuntime` begins from 3.13 on: cookie, PY_VERSION_HEX, whether it has no interpreter lock."""
_ELSE: Final = "py-spy may read it"


class Python:
    """One interpreter in one process, its layout known and checked; to be closed."""

    __slots__ = ("interpreter_state", "layout", "memory", "runtime", "version")

    def __init__(self, memory: Memory, version: str, layout: Layout, runtime: int, interpreter_state: int) -> None:
        self.memory = memory
        self.version = version
        """`3.11.7`, or `3.8` where only its file's name tells it."""
        self.layout = layout
        self.runtime = runtime
        """Address of `_PyRuntime`."""
        self.interpreter_state = interpreter_state
        """Address of the main interpreter's."""

    @property
    def pid(self) -> int:
        """Of its process."""
        return self.memory.pid

    def close(self) -> None:
        """Let go of the process; may be called again."""
        self.memory.close()


def open_python(pid: int, interpreter: Interpreter) -> Python:
    """Attach; raises Vanished, or Unavailable if it may not be read or is not what it should be."""
    if platform.machine() != MACHINE:
        raise Unavailable(f"the structs of a Python on {platform.machine()} are not known", _ELSE)
    memory = Memory(pid)
    try:
        return _checked(memory, interpreter)
    except BaseException:
        memory.close()
        raise


def _checked(memory: Memory, interpreter: Interpreter) -> Python:
    runtime = interpreter.runtime_start
    version = _own_version(memory, runtime) or interpreter.version
    if version is None:
        raise Unavailable("the version of this Python cannot be told", _ELSE)
    layout = layout_of(version)
    if layout is None:
        raise Unavailable(f"there is no table of Python {version}", _ELSE)
    if layout["sz.runtime"] != interpreter.runtime_bytes:
        raise Unavailable(f"this build of Python {version} has other structs than are known", _ELSE)
    return Python(memory, version, layout, runtime, _interpreter_state(memory, layout, runtime))


def _own_version(memory: Memory, runtime: int) -> str | None:
    """Return the version that the runtime says itself, None before 3.13; raises Unavailable if it has no lock."""
    head = memory.read(runtime, _HEAD.size)
    if head is None:
        raise Unavailable("the Python's own state cannot be read", _ELSE)
    cookie, version, has_no_lock = _HEAD.unpack(head)
    if cookie != _COOKIE:
        return None
    name = f"{version >> 24 & 255}.{version >> 16 & 255}.{version >> 8 & 255}"
    if has_no_lock:
        raise Unavailable(f"this Python {name} is a free-threaded build, whose structs are not known", _ELSE)
    return name


def _interpreter_state(memory: Memory, layout: Layout, runtime: int) -> int:
    """Return the main interpreter's address, if it and its newest thread know each other."""
    state = memory.word(runtime + layout["rt.interp_main"])
    if not state:
        raise Unavailable("this Python has not started yet, or is ending", "try again")
    thread = memory.word(state + layout["is.threads_head"])
    known = memory.word(thread + layout["ts.interp"]) if thread else None
    if memory.word(state + layout["is.id"]) != 0 or known != state:
        raise Unavailable("this Python's state does not lie where it should", _ELSE)
    return state
