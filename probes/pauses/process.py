"""One process of the target, and the way in which its collector is seen.

The flag is watched on all CPUs, or on the process's own threads where this user may not; it is polled where neither is
to be had, or costs the process too much.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.frames import GcPause
from perfwatch.probes.pauses.counting import CollectorCounts
from perfwatch.probes.pauses.expense import LIMIT, WRITES, Expense
from perfwatch.probes.pauses.holder import UNKNOWN, Holder
from perfwatch.probes.pauses.polling import Polling
from perfwatch.probes.pauses.switches import Switches
from perfwatch.probes.pauses.watched import WatchedCollector
from perfwatch.probes.pauses.watches import RETRY_NS, ThreadWatches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.probes.cpython.python import Python
    from perfwatch.probes.pauses.settling import Told
    from perfwatch.probes.readers.thread_files import OpenFiles
    from perfwatch.probes.readers.watchpoint import Event

Way: TypeAlias = Literal["cpus", "threads", "polled"]

_COUNT_SWITCHES_NS: Final = 1_000_000_000


class Process:
    """To be closed. Its methods raise Vanished when it has ended, or executes another program."""

    def __init__(self, python: Python, open_files: OpenFiles, now_ns: int) -> None:
        self.pid = python.pid
        self.way: Way = "polled"
        self.reason = "not watched yet"
        """Why it is polled."""
        self._python = python
        self._open_files = open_files
        self._counts = CollectorCounts(python)
        self.flag = self._counts.flag
        """Address of the collector's flag."""
        self.expense = Expense(now_ns, LIMIT)
        self._polling = Polling()
        self._holder = Holder(python)
        self._watched: WatchedCollector | None = None
        """None while it is polled."""
        self._threads: ThreadWatches | None = None
        self._switches: Switches | None = None
        """None where its switches cost nothing."""
        self._count_at_ns = self._retry_at_ns = self._alive_ns = now_ns
        self._found: list[GcPause] = []
        self._missed = 0

    def close(self) -> None:
        """Let go of it."""
        for each in (self._threads, self._switches, self._python):
            if each is not None:
                each.close()

    @property
    def threads(self) -> int:
        """How many of its threads are watched."""
        return self._threads.count if self._threads else 0

    @property
    def missed(self) -> int:
        """Collections that were counted and not seen, cumulative."""
        return self._missed + self._polling.missed + (self._watched.missed if self._watched else 0)

    def arrange(self, now_ns: int, room: int, *, on_cpus: bool) -> None:
        """See to it that it is watched as well as can be: `on_cpus` if its flag is so already, else `room` threads."""
        if on_cpus:
            self._go(now_ns, "cpus")
        elif self.expense.is_given_up or not self._renew_threads(now_ns, room):
            self._go(now_ns, "polled")
        else:
            self._go(now_ns, "threads")

    def _renew_threads(self, now_ns: int, room: int) -> bool:
        """Watch its threads, new ones too; return whether any is watched."""
        if now_ns < self._retry_at_ns:
            return False
        if self._threads is None:
            self._threads = ThreadWatches(self.pid, self.flag, self._open_files)
        try:
            self._threads.renew(room)
        except Unavailable as error:
            self.reason = error.reason
            self._retry_at_ns = now_ns + RETRY_NS
            return False
        return True

    def _go(self, now_ns: int, way: Way) -> None:
        if way == self.way:
            return
        if self._watched:
            self._tell(now_ns, "watchpoint", self._watched.rest())
        self._missed = self.missed
        self._watched, self._polling = None, Polling()
        if way != "threads" and self._threads:
            self._threads.close()
            self._threads = None
        if way == "cpus" and self._switches:
            self._switches.close()
            self._switches = None
        if way == "threads" and self._switches is None:
            self._switches = Switches(self.pid, self._open_files)
        self.way = way
        if way != "polled":
            self._watched = WatchedCollector(self._counts, self._python.memory)

    def look(self) -> None:
        """Look at the counts, before the writes that belong to them are read."""
        if self._watched:
            self._watched.look()

    def read(self, now_ns: int, events: Iterable[Event]) -> list[GcPause]:
        """Return the pauses that can be told by now; `events` are those that the CPUs' watchpoints saw."""
        if self._watched:
            writes = self._watched.take(self._threads.read() if self._threads else events)
            self._tell(now_ns, "watchpoint", self._watched.settle())
        else:
            writes = self._poll(now_ns)
        self._weigh(now_ns, writes)
        self._alive_ns = now_ns
        return self._take_found()

    def end(self, now_ns: int, events: Iterable[Event]) -> list[GcPause]:
        """Return what is left of it: it has ended. Closes it, and raises nothing."""
        threads = self._threads
        self.close()
        if self._watched:
            with suppress(Vanished):  # of an instruction that was not seen before
                self._watched.take(threads.read() if threads else events)
            self._tell(now_ns, "watchpoint", self._watched.end(self._alive_ns))
        return self._take_found()

    def _poll(self, now_ns: int) -> int:
        """Look at the flag; return how many writes a watchpoint would have seen since."""
        counts = self._counts.read()
        if counts is None:
            return 0
        before = self._polling.ran
        tid = UNKNOWN
        if counts.is_running:
            with suppress(Unavailable):
                tid = self._holder.tid()
        self._tell(now_ns, "polled", self._polling.reading(now_ns, counts, tid))
        return WRITES * (self._polling.ran - before)

    def _weigh(self, now_ns: int, writes: int) -> None:
        """Count what the watching costs the process, or would cost it; give it up if that is too much."""
        switches = 0
        if self._switches and now_ns >= self._count_at_ns:
            self._count_at_ns = now_ns + _COUNT_SWITCHES_NS
            with suppress(Unavailable):
                switches = self._switches.since_last()
        self.expense.add(now_ns, writes, switches)
        if self._watched and self.expense.is_too_much:
            self.reason = (
                f"watching the garbage collector of process {self.pid} cost it {self.expense.share:.1%} of a core; "
                f"that is more than {LIMIT:.0%}"
            )
            self.expense.give_up(now_ns)

    def _tell(self, now_ns: int, source: Literal["watchpoint", "polled"], told: Iterable[Told]) -> None:
        self._found += [
            GcPause(
                at_ns=now_ns,
                pid=self.pid,
                tid=pause.tid,
                started_ns=pause.started_ns,
                paused_ns=pause.ended_ns - pause.started_ns,
                cpu_ns=None,
                generation=generation,
                request=None,
                source=source,
                collected=collected,
            )
            for pause, generation, collected in told
        ]

    def _take_found(self) -> list[GcPause]:
        found, self._found = self._found, []
        return found
