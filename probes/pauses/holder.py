"""The thread that holds the interpreter lock at this moment: if the collector runs, it runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes import roots

if TYPE_CHECKING:
    from perfwatch.probes.cpython.python import Python

UNKNOWN: Final = 0


def holder(python: Python) -> int:
    """Return its thread id, 3.11 and later; 0 where it is not known (also in another PID namespace). 10 us."""
    layout, memory = python.layout, python.memory
    own_id = layout.get("ts.native_thread_id")
    pointer = layout.get("is.gil_ptr")
    lock = python.runtime + layout["rt.gil"] if pointer is None else memory.word(python.interpreter_state + pointer)
    thread = memory.word(lock + layout["gil.last_holder"]) if lock and own_id else None
    tid = memory.word(thread + own_id) if thread and own_id else None
    return tid if tid and (roots.PROC / str(python.pid) / "task" / str(tid)).exists() else UNKNOWN
