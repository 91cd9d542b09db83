"""Attaches to the interpreter of a process: which version it is, how its structs lie, and whether they lie so.

Nothing is believed before it was checked: a build whose structs lie otherwise (another version, a debug build, one
without the interpreter lock) is refused with the reason, for a wrong stack is worse than none. Cost: 1 to 3 ms.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.debug_offsets import read_description
from perfwatch.probes.cpython.evidence import is_sensible
from perfwatch.probes.cpython.layout import Layout, layout_of
from perfwatch.probes.cpython.memory import Memory
from perfwatch.probes.cpython.threads import MAX_INTERPRETERS
from perfwatch.probes.errors import Malformed, Unavailable

if TYPE_CHECKING:
    from perfwatch.probes.readers.interpreter import Interpreter

MACHINE: Final = "x86_64"
"""The tables are of this machine: elsewhere a mutex, and all behind it in a struct, has another size."""
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
    described = read_description(memory, runtime)
    if described and described.is_free_threaded:
        raise Unavailable(
            f"this Python {described.version} is a free-threaded build, whose structs are not known", _ELSE
        )
    version = described.version if described else interpreter.version
    if version is None:
        raise Unavailable("the version of this Python cannot be told", _ELSE)
    table, own = layout_of(version), described.layout if described else None
    layout = table or own
    if layout is None:
        raise Unavailable(f"there is no table of Python {version}", _ELSE)
    python = Python(memory, version, layout, runtime, _interpreter_state(memory, layout, runtime))
    is_known = bool(own) or layout["sz.runtime"] == interpreter.runtime_bytes
    if (own and not own.agrees_with(layout)) or not _makes_sense(python, is_known=is_known):
        raise Unavailable(f"this build of Python {version} has other structs than are known", _ELSE)
    return python


def _makes_sense(python: Python, *, is_known: bool) -> bool:
    """Whether what is read makes sense; where the layout is known to fit, that there was nothing to read will do.

    A patch release may have appended to what is internal to the interpreter, and still be read.
    """
    try:
        found = is_sensible(python)
    except Malformed:
        return False
    return is_known if found is None else found


def _interpreter_state(memory: Memory, layout: Layout, runtime: int) -> int:
    """Return the main interpreter's address, if it and its newest thread know each other."""
    state = _main_interpreter(memory, layout, runtime)
    if not state:
        raise Unavailable("this Python has not started yet, or is ending", "try again")
    thread = memory.word(state + layout["is.threads_head"])
    known = memory.word(thread + layout["ts.interp"]) if thread else None
    if memory.word(state + layout["is.id"]) != 0 or known != state:
        raise Unavailable("this Python's state does not lie where it should", _ELSE)
    return state


def _main_interpreter(memory: Memory, layout: Layout, runtime: int) -> int | None:
    """Return the address of the main interpreter, as the runtime has it; else it is the one with number 0."""
    main = layout.get("rt.interp_main")
    if main is not None:
        return memory.word(runtime + main)
    state = memory.word(runtime + layout["rt.interp_head"])
    for _ in range(MAX_INTERPRETERS):
        if not state or memory.word(state + layout["is.id"]) == 0:
            break
        state = memory.word(state + layout["is.next"])
    return state
