"""Watchpoints on the collectors' flags: of whole CPUs, where this user may, else of each thread.

On the CPUs one watches an address, in whichever process: workers that were forked have theirs at the same one, and of
the processor's four registers two are left to debuggers. Of threads, those that are not there yet are found at the next
reading. Cost: a thread's first reading 60 us, each reading of the ring of a CPU or a thread 1 us, and 1 us an event.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Final

from perfwatch.probes.errors import ProbeError, Unavailable, Vanished
from perfwatch.probes.pauses.expense import OTHERS_LIMIT, Expense
from perfwatch.probes.readers.perf_event import online_cpus
from perfwatch.probes.readers.thread_files import OpenFiles, TaskList
from perfwatch.probes.readers.watchpoint import Lost, Watchpoint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from perfwatch.probes.readers.watchpoint import Event

MAX_ADDRESSES: Final = 2
RETRY_NS: Final = 10_000_000_000
_CPU_PAGES: Final = 8
"""1,023 events of 32 bytes."""
_THREAD_PAGES: Final = (*[4] * 8, 1)
"""Of the first threads and of any further: what a user may have locked in memory is little. 127 events a page."""


class _Address:
    """One address, watched on all CPUs."""

    def __init__(self, address: int) -> None:
        self._watches = _on_all_cpus(address)
        self._later: list[Event] = []

    def read(self, until_ns: int) -> list[Event]:
        """Return what was seen until this time, in its order.

        The rings are read one after the other, so what came later may be known only in part.
        """
        events = sorted(chain(self._later, *(watch.read() for watch in self._watches)), key=_time)
        self._later = [event for event in events if event.at_ns > until_ns]
        return events[: len(events) - len(self._later)]

    def close(self) -> None:
        _close(self._watches)


class CpuWatches:
    """Watches at most two addresses on all CPUs."""

    def __init__(self) -> None:
        self._addresses: dict[int, _Address] = {}
        self._others: dict[int, Expense] = {}
        """What it costs processes that are none of the target's; also of addresses that were given up for that."""
        self._retry_at_ns = 0

    def cover(self, addresses: Iterable[int], now_ns: int) -> None:
        """Watch the addresses that most processes share, as far as possible; let go of those that none has."""
        wanted = Counter(addresses)
        for address in self._addresses.keys() - wanted.keys():
            self._addresses.pop(address).close()
        self._others = {address: others for address, others in self._others.items() if address in wanted}
        if now_ns < self._retry_at_ns:
            return
        for address, _ in wanted.most_common():
            others = self._others.setdefault(address, Expense(now_ns, OTHERS_LIMIT))
            others.forgive(now_ns)
            if not others.is_given_up and address not in self._addresses and len(self._addresses) < MAX_ADDRESSES:
                try:
                    self._addresses[address] = _Address(address)
                except (ProbeError, OSError):
                    self._retry_at_ns = now_ns + RETRY_NS
                    return

    def covers(self, address: int) -> bool:
        """Whether an address is watched."""
        return address in self._addresses

    def read(self, processes: Collection[tuple[int, int]], until_ns: int) -> dict[tuple[int, int], list[Event]]:
        """Return what was seen of each process, (address, PID), since the last reading, in order of time.

        What others wrote is not told, but an address that costs them too much is given up.
        """
        seen: dict[tuple[int, int], list[Event]] = {process: [] for process in processes}
        for address, watched in list(self._addresses.items()):
            writes = 0
            for event in watched.read(until_ns):
                if isinstance(event, Lost):
                    for process in processes:
                        if process[0] == address:
                            seen[process].append(event)
                elif (address, event.pid) in seen:
                    seen[address, event.pid].append(event)
                else:
                    writes += 1
            self._charge_others(address, writes, until_ns)
        return seen

    def _charge_others(self, address: int, writes: int, now_ns: int) -> None:
        others = self._others[address]
        others.add(now_ns, writes, 0)
        if others.is_too_much:
            others.give_up(now_ns)
            self._addresses.pop(address).close()

    def close(self) -> None:
        """Let go of all."""
        while self._addresses:
            self._addresses.popitem()[1].close()


def _on_all_cpus(address: int) -> list[Watchpoint]:
    watches: list[Watchpoint] = []
    try:
        for cpu in online_cpus():
            watches.append(Watchpoint(address, cpu=cpu, pages=_CPU_PAGES))  # noqa: PERF401 - closed if one fails
    except BaseException:
        _close(watches)
        raise
    return watches


def _time(event: Event) -> int:
    return event.at_ns


def _close(watches: list[Watchpoint]) -> None:
    while watches:
        watches.pop().close()


class ThreadWatches:
    """Watches the threads of one process."""

    def __init__(self, pid: int, address: int, open_files: OpenFiles) -> None:
        self._pid = pid
        self._address = address
        self._tasks = TaskList(pid, open_files)
        self._watches: dict[int, Watchpoint] = {}
        self._left: list[Event] = []
        """Of threads that have ended."""

    @property
    def count(self) -> int:
        """How many threads are watched."""
        return len(self._watches)

    def renew(self, room: int) -> None:
        """Find its threads, at most `room` of them; raises Vanished, or Unavailable if none can be watched."""
        tids = self._tasks.list()[:room]
        for tid in self._watches.keys() - tids:
            self._drop(tid)
        for tid in tids:
            if tid not in self._watches:
                pages = _THREAD_PAGES[min(len(self._watches), len(_THREAD_PAGES) - 1)]
                try:
                    self._watches[tid] = Watchpoint(self._address, tid=tid, pages=pages)
                except Vanished:
                    continue
                except Unavailable:
                    if not self._watches:
                        raise
                    return  # what the others collect is counted, and told as lost

    def read(self) -> list[Event]:
        """Return what was seen since the last reading; of each thread in order of time."""
        events = self._left
        self._left = []
        for watch in self._watches.values():
            events += watch.read()
        return events

    def close(self) -> None:
        """Let go of all; what was seen can still be read once."""
        for tid in list(self._watches):
            self._drop(tid)
        self._tasks.close()

    def _drop(self, tid: int) -> None:
        watch = self._watches.pop(tid)
        self._left += watch.read()
        watch.close()
