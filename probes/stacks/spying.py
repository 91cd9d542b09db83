"""Stacks and names of threads by way of py-spy, for all processes of a target: who is asked next, and how often.

One py-spy runs at a time. A process whose interpreter cannot be read otherwise is asked twice a second for its stacks;
any process once for the names of its threads, and again after 10 s or more when it has new ones. All of them together
may use 3 % of a core: what a dump cost says when the next one begins. Who fails waits longer and longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.errors import ProbeError, Unavailable, Vanished
from perfwatch.probes.frames import ThreadName
from perfwatch.probes.records import Loss
from perfwatch.probes.stacks.spied import STACKS_NS, Spied

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from perfwatch.probes.records import Record

SHARE: Final = 0.03
"""Of a core."""


class Spying:
    """Asks py-spy about the processes of a target; starts and collects, and never waits. To be closed."""

    def __init__(self, name: str) -> None:
        """`name` is that of the probe which it reads for: its losses are told under it."""
        self.cpu_ns = 0
        """What all dumps have cost: CPU time of children, which is in no thread's clock."""
        self._name = name
        self._processes: dict[int, Spied] = {}
        self._asked: Spied | None = None
        self._free_ns = 0  # before then none is asked

    def read(self, now_ns: int, threads: Mapping[int, Collection[int]], tableless: Collection[int]) -> list[Record]:
        """Return the stacks that have come; ask the process that has waited longest.

        `threads` are those of each process of the target; of the processes that are `tableless` stacks are wanted.
        """
        for pid in self._processes.keys() - threads.keys():
            self._forget(pid)
        records: list[Record] = []
        if self._asked:
            self._collect(self._asked, now_ns, records)
        if self._asked is None and now_ns >= self._free_ns:
            self._ask(now_ns, threads, tableless, records)
        return records

    def thread_names(self, pid: int) -> tuple[ThreadName, ...]:
        """Return the names of a process's threads that are known, in order of thread id."""
        process = self._processes.get(pid)
        return () if process is None else tuple(ThreadName(tid, name) for tid, name in sorted(process.names.items()))

    def close(self) -> None:
        """End what is under way; may be called again."""
        for pid in list(self._processes):
            self._forget(pid)

    def _forget(self, pid: int) -> None:
        process = self._processes.pop(pid)
        process.py_spy.close()
        if self._asked is process:
            self._asked = None

    def _ask(
        self, now_ns: int, threads: Mapping[int, Collection[int]], tableless: Collection[int], to: list[Record]
    ) -> None:
        processes = [self._processes.setdefault(pid, Spied(pid)) for pid in threads]
        due = [one for one in processes if one.is_due(now_ns, threads[one.pid], wants_stacks=one.pid in tableless)]
        if not due:
            return
        process = min(due, key=lambda one: one.asked_ns)
        try:
            process.ask(now_ns, threads[process.pid], wants_stacks=process.pid in tableless)
        except Unavailable as why:
            self._fail(process, why, now_ns, to)
        else:
            self._asked = process

    def _collect(self, process: Spied, now_ns: int, to: list[Record]) -> None:
        try:
            dump = process.py_spy.collect()
        except (ProbeError, OSError) as why:
            self._fail(process, why, now_ns, to)
            return
        if dump is not None:
            self._asked = None
            self.cpu_ns += dump.cpu_ns
            self._free_ns = process.asked_ns + round(dump.cpu_ns / SHARE)
            stacks = process.take(dump, now_ns)
            to += [stacks] if stacks else []

    def _fail(self, process: Spied, why: Exception, now_ns: int, to: list[Record]) -> None:
        """Leave a process alone for a while; where stacks are lost by that, say so once."""
        self._asked = None
        self._free_ns = now_ns + STACKS_NS
        if process.fail(now_ns) and process.wants_stacks and not isinstance(why, Vanished):
            to.append(Loss(now_ns, self._name, 1, f"no stacks of process {process.pid}: {why}"))
