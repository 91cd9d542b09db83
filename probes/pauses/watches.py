"""Watchpoints on the collectors' flags: of whole CPUs, where this user may, else of each thread.

On the CPUs one watches an address, in whichever process: workers that were forked have theirs at the same one, and of
the processor's four registers two are left to debuggers. Of threads, those that are not there yet are found at the next
reading. Cost: a thread's first reading 60 us, each reading of the ring of a CPU or a thread 1 us, and 1 us an event.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Final

from perfwatch.probes import roots
from perfwatch.probes.errors import ProbeError, Unavailable, Vanished
from perfwatch.probes.readers.proc import read
from perfwatch.probes.readers.thread_files import OpenFiles, TaskList
from perfwatch.probes.readers.watchpoint import Event, Watchpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_ADDRESSES: Final = 2
RETRY_NS: Final = 10_000_000_000
_CPU_PAGES: Final = 8
"""1,023 events of 32 bytes."""
_THREAD_PAGES: Final = 4
"""511."""
_MAX_CPUS: Final = 4096


class CpuWatches:
    """Watches at most two addresses on all CPUs."""

    def __init__(self) -> None:
        self._watches: dict[int, list[Watchpoint]] = {}
        self._later: dict[int, list[Event]] = {}
        self._retry_at_ns = 0

    def cover(self, addresses: Iterable[int], now_ns: int) -> None:
        """Watch the addresses that most processes share, as far as possible; let go of those that none has."""
        wanted = Counter(addresses)
        for address in self._watches.keys() - wanted.keys():
            self._drop(address)
        if now_ns < self._retry_at_ns:
            return
        for address, _ in wanted.most_common():
            if address not in self._watches and len(self._watches) < MAX_ADDRESSES:
                try:
                    self._watches[address] = _on_all_cpus(address)
                except ProbeError:
                    self._retry_at_ns = now_ns + RETRY_NS
                    return

    def covers(self, address: int) -> bool:
        """Whether an address is watched."""
        return address in self._watches

    def read(self, until_ns: int) -> dict[int, list[Event]]:
        """Return what was seen of each address since the last reading and until this time, in order of time.

        The rings are read one after the other, so what came later may be known only in part.
        """
        found = {}
        for address, watches in self._watches.items():
            events = chain(self._later.pop(address, ()), *(watch.read() for watch in watches))
            in_order = sorted(events, key=lambda event: event.at_ns)
            later = [event for event in in_order if event.at_ns > until_ns]
            if later:
                self._later[address] = later
            found[address] = in_order[: len(in_order) - len(later)]
        return found

    def close(self) -> None:
        """Let go of all."""
        for address in list(self._watches):
            self._drop(address)

    def _drop(self, address: int) -> None:
        self._later.pop(address, None)
        _close(self._watches.pop(address))


def _on_all_cpus(address: int) -> list[Watchpoint]:
    watches: list[Watchpoint] = []
    try:
        for cpu in online_cpus():
            watches.append(Watchpoint(address, cpu=cpu, pages=_CPU_PAGES))  # noqa: PERF401 - closed if one fails
    except BaseException:
        _close(watches)
        raise
    return watches


def online_cpus() -> list[int]:
    """Return the numbers of the CPUs that run; `0-3,8` is how the kernel writes them."""
    text = read(roots.SYS / "devices" / "system" / "cpu" / "online").decode()
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), min(int(last or first), _MAX_CPUS) + 1)
    return found


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
                try:
                    self._watches[tid] = Watchpoint(self._address, tid=tid, pages=_THREAD_PAGES)
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
