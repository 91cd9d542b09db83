"""The CPUs: what their time went to, how many threads want one, and which processes use them.

/proc/stat (Documentation/filesystems/proc.rst), cumulative, in clock ticks of 10 ms; `iowait` may decrease:

    cpu0 175967 0 58386 942317 7543 0 4676 106 0 0     user nice system idle iowait irq softirq steal guest guest_nice
    intr 25412176 0 0 ...    ctxt 81941418    processes 99134    procs_running 1    procs_blocked 0

/proc/loadavg: `0.00 0.04 0.32 1/94 31424`: the load, threads that run or could run / all, the newest PID. Its fourth
field is the same figure as `procs_running` (the kernel's `nr_running`) for a sixth of the cost, which grows with the
interrupt lines in /proc/stat: 1.2 us a reading against 7 from a descriptor kept open. So the run queue is read 20
times a second from there, all else once. Threads of a cgroup that used up its quota are not in it; the thread that
reads is, and is taken off. Threads that wait are those that can run less the CPUs: `max(runnable - len(cpus), 0)`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Self

import msgspec

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, ProbeError, Unavailable
from perfwatch.probes.probe import AVAILABLE, Availability
from perfwatch.probes.readers import proc
from perfwatch.probes.readers.cpu_users import MAX_PROCESSES, TICK_NS, CpuUsers, listed
from perfwatch.probes.samples import CpuSample, CpuTimes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path
    from types import TracebackType

    from perfwatch.probes.records import Record

RECORD_NS: Final = 1_000_000_000
MAX_CPUS: Final = 8192
_COLUMNS: Final = 8
_FIRST_PID_NAMESPACE: Final = 0xEFFFFFFC
"""Inode of the PID namespace that the machine started with (PROC_PID_INIT_INO)."""


class CpuTotals(msgspec.Struct, frozen=True):
    """What /proc/stat says."""

    cpus: tuple[CpuTimes, ...]
    interrupts: int
    context_switches: int
    forks: int
    blocked: int


class LoadAverage(msgspec.Struct, frozen=True):
    """What /proc/loadavg says."""

    load: tuple[float, float, float]
    runnable: int
    """Threads that run or could run, the reader among them."""


class CpuProbe:
    """Reads the run queue 20 times a second, and once a second yields that with the CPUs' time and their users."""

    name = "cpu"

    def __init__(self, tree: Callable[[], Collection[int]]) -> None:
        """`tree` gives the PIDs that belong to the target at this moment."""
        self.period_s = 0.05
        self._tree = tree
        self._files: list[int] = []
        self._users = CpuUsers()
        self._runnable: list[int] = []
        self._due_ns = 0

    def availability(self) -> Availability:
        """Look whether the kernel's totals can be read, and whose processes are seen."""
        try:
            parse_stat(proc.read(roots.PROC / "stat"))
            parse_loadavg(proc.read(roots.PROC / "loadavg"))
        except (ProbeError, OSError) as error:
            return Availability(
                "unavailable",
                str(error),
                "CPU use and the run queue",
                "mount /proc without subset=pid, readable by all",
            )
        return _users_seen()

    def __enter__(self) -> Self:
        found = self.availability()
        if found.status == "unavailable":
            raise Unavailable(found.reason or "", found.remedy or "")
        try:
            self._files += [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in (_loadavg(), _stat())]
        except OSError as error:
            raise Unavailable(str(error), "mount /proc") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._files:
            os.close(self._files.pop())

    def read(self, now_ns: int) -> Sequence[Record]:
        """Read the run queue; return one record if the last is a second old."""
        load_file, stat_file = self._files
        average = parse_loadavg(proc.read_open(load_file, _loadavg()))
        self._runnable.append(max(average.runnable - 1, 0))
        if now_ns < self._due_ns:
            return ()
        self._due_ns = _next_due(self._due_ns, now_ns)
        return (self._sample(now_ns, average, parse_stat(proc.read_open(stat_file, _stat()))),)

    def _sample(self, now_ns: int, average: LoadAverage, totals: CpuTotals) -> CpuSample:
        runnable, self._runnable = tuple(self._runnable), []
        return CpuSample(
            at_ns=now_ns,
            cpus=totals.cpus,
            interrupts=totals.interrupts,
            context_switches=totals.context_switches,
            forks=totals.forks,
            blocked=totals.blocked,
            load=average.load,
            runnable=runnable,
            top=self._users.top(frozenset(self._tree())),
        )


def parse_stat(raw: bytes) -> CpuTotals:
    """Parse /proc/stat; unknown lines are skipped, missing ones raise Malformed."""
    cpus: list[CpuTimes] = []
    totals: dict[bytes, bytes] = {}
    try:
        for line in raw.splitlines():
            key, _, rest = line.partition(b" ")
            if key[:3] == b"cpu" and key[3:].isdigit() and len(cpus) < MAX_CPUS:
                cpus.append(CpuTimes(*(int(ticks) * TICK_NS for ticks in _columns(rest))))
            else:
                totals[key] = rest
        return CpuTotals(
            cpus=tuple(cpus),
            interrupts=int(totals[b"intr"].split(None, 1)[0]),
            context_switches=int(totals[b"ctxt"]),
            forks=int(totals[b"processes"]),
            blocked=int(totals[b"procs_blocked"]),
        )
    except (KeyError, IndexError, ValueError) as error:
        raise Malformed(f"/proc/stat is not as expected: {error!r}") from None


def parse_loadavg(raw: bytes) -> LoadAverage:
    """Parse /proc/loadavg; raises Malformed."""
    try:
        one, five, fifteen, threads, *_ = raw.split()
        return LoadAverage((float(one), float(five), float(fifteen)), int(threads.partition(b"/")[0]))
    except ValueError:
        raise Malformed(f"/proc/loadavg holds {raw[:80]!r}") from None


def _columns(rest: bytes) -> list[bytes]:
    columns = rest.split()[:_COLUMNS]
    if len(columns) < _COLUMNS:
        raise ValueError(rest)
    return columns


def _next_due(due_ns: int, now_ns: int) -> int:
    """Stay on a grid of whole seconds; after a stall begin a new one."""
    return due_ns + RECORD_NS if due_ns + RECORD_NS > now_ns else now_ns + RECORD_NS


def _users_seen() -> Availability:
    """Say whose processes `top` can name: not those that /proc hides, and in a container only its own."""
    lost = "which of the other processes use the CPUs"
    try:
        proc.read(roots.PROC / "1" / "stat")
    except (ProbeError, OSError):
        reason = "/proc hides the processes of other users (hidepid)"
        return Availability("limited", reason, lost, "run perfwatch as root")
    if _in_container():
        remedy = "run perfwatch on the host, or in its PID namespace (docker run --pid=host)"
        return Availability("limited", "only the processes of this container are seen", lost, remedy)
    if len(listed()) > MAX_PROCESSES:
        return Availability("limited", f"there are more than the {MAX_PROCESSES} processes that are read", lost)
    return AVAILABLE


def _in_container() -> bool:
    try:
        return (roots.PROC / "self" / "ns" / "pid").stat().st_ino != _FIRST_PID_NAMESPACE
    except OSError:
        return False  # a kernel without PID namespaces


def _loadavg() -> Path:
    return roots.PROC / "loadavg"


def _stat() -> Path:
    return roots.PROC / "stat"
