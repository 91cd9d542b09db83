"""Pauses of the target by CPython's garbage collector, seen by a watchpoint of the processor on the collector's flag.

For interpreters that no BPF probe can be set in: stripped ones, and those of a user who may not use BPF. Each
collection costs the target 24 us of CPU (two writes), which is in its pause, and the switch of a thread that is watched
1.3 us; where that comes to more than 1 % of a core, the flag is polled 50 times a second instead, and that is told.
Own cost: 30 us a reading, 15 us a process of the target, 1 us a CPU or watched thread, 60 us a new one, 30 us a pause.

CPython 3.8 to 3.13 on x86-64; collections of the main interpreter.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from perfwatch.probes.errors import ProbeError, Unavailable, Vanished
from perfwatch.probes.pauses.processes import Processes, try_one
from perfwatch.probes.pauses.watches import CpuWatches
from perfwatch.probes.probe import AVAILABLE, Availability
from perfwatch.probes.readers.watchpoint import check
from perfwatch.probes.records import Loss
from perfwatch.probes.samples import RateChange

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import TracebackType

    from perfwatch.probes.pauses.process import Process
    from perfwatch.probes.readers.watchpoint import Event
    from perfwatch.probes.records import Record

MAX_THREADS: Final = 512
"""In all; each takes a descriptor."""
POLLED_S: Final = 0.02
_TELL_LOSS_NS: Final = 1_000_000_000


class PausesProbe:
    """Watches at most 64 processes of the target, and of their threads 512."""

    name = "pauses"

    def __init__(self, tree: Callable[[], Collection[int]]) -> None:
        """`tree` gives the PIDs that belong to the target at this moment."""
        self.period_s = 0.1
        self._tree = tree
        self._processes = Processes()
        self._cpus = CpuWatches()
        self._ways: dict[int, str] = {}
        """By which each process is seen, as it was told."""
        self._usual_s: float | None = None
        """The period before something was polled; None while nothing is."""
        self._gone_missed = self._told_missed = self._tell_at_ns = 0
        """Collections that were not seen: of processes that have ended, and as it was told, next at a time."""

    def availability(self) -> Availability:
        """Look whether the target's interpreter can be read, and watchpoints be set."""
        try:
            try_one(self._tree())
        except Unavailable as error:
            return Availability("unavailable", error.reason, "when the garbage collector ran", error.remedy)
        return _watchable()

    def __enter__(self) -> Self:
        """Raise Unavailable where no interpreter of the target can be read."""
        try_one(self._tree())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cpus.close()
        self._processes.close()

    def read(self, now_ns: int) -> Sequence[Record]:
        """Return the pauses that have ended, but for those whose generation is not known yet."""
        pids = self._tree()
        self._processes.renew(pids, now_ns)
        self._cover(now_ns)
        gone = [each for each in self._processes if each.pid not in pids or not self._prepare(each, now_ns)]
        sharing = [(process.flag, process.pid) for process in self._processes]
        seen = self._cpus.read(sharing, time.monotonic_ns())
        records: list[Record] = []
        for process in self._processes:
            events: Sequence[Event] = seen[process.flag, process.pid]
            is_gone = process in gone
            if not is_gone:
                try:
                    records += process.read(now_ns, events)
                except Vanished:
                    is_gone, events = True, ()
            if is_gone:
                records += process.end(now_ns, events)
                self._gone_missed += process.missed
                self._processes.remove(process)
                self._tell_at_ns = now_ns
        return [*records, *self._changes(now_ns), *self._losses(now_ns)]

    def _cover(self, now_ns: int) -> None:
        """Watch flags on the CPUs; not one whose watching costs a process too much: it would still pay for it."""
        for process in self._processes:
            process.expense.forgive(now_ns)
        dear = {process.flag for process in self._processes if process.expense.is_given_up}
        self._cpus.cover((process.flag for process in self._processes if process.flag not in dear), now_ns)

    def _prepare(self, process: Process, now_ns: int) -> bool:
        """Return whether the process still runs its program."""
        room = MAX_THREADS - sum(each.threads for each in self._processes if each is not process)
        try:
            process.arrange(now_ns, room, on_cpus=self._cpus.covers(process.flag))
            process.look()
        except Vanished:
            return False
        return True

    def _changes(self, now_ns: int) -> list[Record]:
        """Tell which processes are polled from now on, or watched again; while any is polled, it is read more often."""
        processes = list(self._processes)
        polled = sum(process.way == "polled" for process in processes)
        was_s = self.period_s
        if polled and self._usual_s is None:
            self._usual_s, self.period_s = was_s, min(was_s, POLLED_S)
        elif not polled and self._usual_s is not None:
            self.period_s = self._usual_s
            self._usual_s = None
        told, self._ways = self._ways, {process.pid: process.way for process in processes}
        reasons = [
            f"{process.reason}: it is polled" if process.way == "polled" else f"process {process.pid} is watched again"
            for process in processes
            if (process.way == "polled") != (told.get(process.pid) == "polled")
        ]
        followed = 1 - polled / max(len(processes), 1)
        period_ns, was_ns = round(self.period_s * 1e9), round(was_s * 1e9)
        return [RateChange(now_ns, self.name, period_ns, was_ns, reason, followed) for reason in reasons]

    def _losses(self, now_ns: int) -> list[Record]:
        missed = self._gone_missed + sum(process.missed for process in self._processes)
        if missed == self._told_missed or now_ns < self._tell_at_ns:
            return []
        lost, self._told_missed = missed - self._told_missed, missed
        self._tell_at_ns = now_ns + _TELL_LOSS_NS
        reason = "collections in threads that were not watched yet, or faster than they could be seen"
        return [Loss(now_ns, self.name, lost, reason)]


def _watchable() -> Availability:
    """Say what this user may watch."""
    with suppress(ProbeError):
        check(cpu=0)
        return AVAILABLE
    try:
        check(tid=os.getpid())
    except Unavailable as error:
        lost = "pauses of the collector shorter than 20 ms, and the exact length of others"
        return Availability("limited", f"{error.reason}: the collector is polled", lost, error.remedy)
    return Availability(
        "limited",
        "this user may watch threads, but not CPUs",
        "pauses by the collector in the first 0.1 s of a thread or process",
        "sysctl kernel.perf_event_paranoid=0, or run perfwatch as root (CAP_PERFMON)",
    )
