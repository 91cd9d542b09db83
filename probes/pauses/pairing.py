"""Makes pauses of the writes to the collector's flag: from its setting to its clearing, thread by thread. Pure.

One collection may run within another of the same thread (3.12: a finalizer runs Python code, and a collection that was
due waits for just that), and 3.13 tries to set the flag also when it is set. So a setting within a pause begins none,
but the pause may then end twice: what follows the first end is told as another, and no time is told twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from perfwatch.probes.pauses.writing import Writing


class Pause(NamedTuple):
    """One stretch in which a thread ran the collector."""

    tid: int
    started_ns: int
    ended_ns: int
    is_whole: bool = True
    """False: its thread ended in it, so the collector did not count it."""


class _Thread(NamedTuple):
    since_ns: int
    """When it set the flag; or cleared it, while it may have to do so again."""
    is_running: bool
    nested: int
    """How often it set the flag when it had set it already."""


class Pairing:
    """The pauses of one process; its writes come in order of time."""

    def __init__(self) -> None:
        self._threads: dict[int, _Thread] = {}

    def write(self, at_ns: int, tid: int, writing: Writing | None) -> Pause | None:
        """Take in a write; return the pause that it ended. None stands for one of which only the turn tells."""
        thread = self._threads.pop(tid, None)
        is_running = thread is not None and thread.is_running
        nested = thread.nested if thread else 0
        if writing == "set" or (writing is None and not is_running):
            since_ns = thread.since_ns if thread and is_running else at_ns
            self._threads[tid] = _Thread(since_ns, is_running=True, nested=nested + is_running)
            return None
        if thread is None:
            return None  # it was set before anybody looked, or that was lost
        if nested:
            self._threads[tid] = _Thread(at_ns, is_running=False, nested=nested - (not is_running))
        return Pause(tid, thread.since_ns, at_ns) if is_running or nested else None

    def end(self, at_ns: int, tid: int) -> Pause | None:
        """Take in that a thread has ended; return the pause that it ended in."""
        thread = self._threads.pop(tid, None)
        return Pause(tid, thread.since_ns, at_ns, is_whole=False) if thread and thread.is_running else None

    def running(self) -> list[int]:
        """Return the threads that run the collector, as far as was seen."""
        return [tid for tid, thread in self._threads.items() if thread.is_running]

    def forget(self, before_ns: int) -> None:
        """Take in that no pause reaches beyond this time, or that writes before it were lost."""
        self._threads = {tid: thread for tid, thread in self._threads.items() if thread.since_ns >= before_ns}
