"""Memory of the host and of the target's processes, once a second.

Host: /proc/meminfo (`MemAvailable:   24216228 kB`) and /proc/vmstat (`pgscan_direct 0`: pages or events since boot);
0.1 ms. A process: /proc/PID/status (`VmRSS:    1748 kB`, some pages a thread too old) and /proc/PID/stat (`4711
(gunicorn) S 1 ...`: fields 10 and 12 are its minor and major faults); 0.06 ms each, and no lock of the target is taken.

USS is counted in slices (`pagemap.py`) of `SLICE_NS`, so that no thread of the target waits longer than that for its
`mmap_lock`. PSS has one source, /proc/PID/smaps_rollup (Linux 4.14). It walks the process in one go, 14 us for each MiB
in memory, and keeps that lock for a whole mapping: a process above `MAX_ROLLUP_BYTES` is not asked for it, unless the
constructor is told otherwise. Both come every 10 s, of a few processes a second, and need the right to ptrace.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import msgspec

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.probe import AVAILABLE, Availability
from perfwatch.probes.readers.pagemap import ExclusivePages
from perfwatch.probes.readers.proc import read
from perfwatch.probes.samples import MemorySample, ProcessMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import TracebackType

    from perfwatch.probes.records import Record

MAX_PROCESSES: Final = 64
DETAIL_NS: Final = 10_000_000_000
SLICE_NS: Final = 500_000
MAX_PASSES: Final = 8
"""Processes whose pages are counted at a time, and whose PSS is read in one reading."""
MAX_ROLLUP_BYTES: Final = 32 << 20
"""0.5 ms of `mmap_lock`."""
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_MINOR_FAULTS, _MAJOR_FAULTS = 10 - 3, 12 - 3  # fields of /proc/PID/stat, counted from the one after the name


class MemoryProbe:
    """Samples the host's memory and that of the target's processes, at most 64."""

    name = "memory"
    period_s = 1.0

    def __init__(self, tree: Callable[[], Collection[int]], *, max_rollup_bytes: int = MAX_ROLLUP_BYTES) -> None:
        """`tree` gives the PIDs of the target at this moment; PSS is read of processes up to `max_rollup_bytes`."""
        self._tree = tree
        self._max_rollup_bytes = max_rollup_bytes
        self._passes: dict[int, ExclusivePages] = {}
        self._pages_due_ns: dict[int, int] = {}
        self._pss_due_ns: dict[int, int] = {}

    def availability(self) -> Availability:
        """Look whether the target's processes can be seen, and their pages be counted."""
        tree = sorted(self._tree())[:MAX_PROCESSES]
        seen = 0
        for pid in tree:
            try:
                read(roots.PROC / str(pid) / "status")
                seen += 1
                os.close(os.open(roots.PROC / str(pid) / "pagemap", os.O_RDONLY | os.O_CLOEXEC))
            except Vanished:
                continue
            except (OSError, Unavailable):
                return _limited("the target's pages may not be counted by this user", "PSS and USS of the target")
        if tree and not seen:
            return _limited("the target's processes cannot be seen by this user", "the target's memory and page faults")
        return AVAILABLE

    def __enter__(self) -> Self:
        try:
            read_memory(0)
        except Vanished:
            raise Unavailable("/proc/meminfo is not there", "run perfwatch on the host") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pid in list(self._passes):
            self._end_pass(pid)

    def read(self, now_ns: int) -> Sequence[Record]:
        """Return a sample of the host, and one of each process that lives; PSS and USS where it was its turn."""
        tree = sorted(self._tree())[:MAX_PROCESSES]
        self._forget_all_but(set(tree))
        basics = [sample for pid in tree if (sample := read_process(pid, now_ns))]
        uss = self._count_pages([sample.pid for sample in basics], now_ns)
        pss = self._read_pss(basics, now_ns)
        return [read_memory(now_ns), *(_detailed(each, pss.get(each.pid), uss.get(each.pid)) for each in basics)]

    def _forget_all_but(self, tree: set[int]) -> None:
        for due in (self._pages_due_ns, self._pss_due_ns):
            for pid in due.keys() - tree:
                del due[pid]
        for pid in self._passes.keys() - tree:
            self._end_pass(pid)

    # --- what is not read each time

    def _count_pages(self, pids: list[int], now_ns: int) -> dict[int, int]:
        """Begin the passes that are due and walk on with each; returns the USS of those that came to their end."""
        for pid in sorted(pids, key=lambda pid: self._pages_due_ns.get(pid, 0)):
            if len(self._passes) >= MAX_PASSES:
                break
            if pid not in self._passes and self._pages_due_ns.get(pid, 0) <= now_ns:
                self._pages_due_ns[pid] = now_ns + DETAIL_NS
                with suppress(Vanished, Unavailable):
                    self._passes[pid] = ExclusivePages(pid)
        found = {}
        for pid, walk in list(self._passes.items()):
            try:
                pages = walk.advance(SLICE_NS)
            except (Vanished, Unavailable):
                self._end_pass(pid)
                continue
            if pages is not None:
                found[pid] = pages * PAGE_BYTES
                self._end_pass(pid)
        return found

    def _end_pass(self, pid: int) -> None:
        self._passes.pop(pid).close()

    def _read_pss(self, samples: list[ProcessMemory], now_ns: int) -> dict[int, int]:
        due = [
            each
            for each in samples
            if each.rss_bytes <= self._max_rollup_bytes and self._pss_due_ns.get(each.pid, 0) <= now_ns
        ]
        found = {}
        for sample in sorted(due, key=lambda each: self._pss_due_ns.get(each.pid, 0))[:MAX_PASSES]:
            self._pss_due_ns[sample.pid] = now_ns + DETAIL_NS
            with suppress(Vanished, Unavailable):
                found[sample.pid] = parse_sizes(read(roots.PROC / str(sample.pid) / "smaps_rollup"))[b"Pss"]
        return found


def read_memory(now_ns: int) -> MemorySample:
    """Sample the host; figures of /proc/vmstat are None where it is masked or this kernel does not keep them."""
    try:
        counters = parse_counters(read(roots.PROC / "vmstat"))
    except (Vanished, Unavailable):
        counters = {}
    return memory_sample(now_ns, parse_sizes(read(roots.PROC / "meminfo")), counters)


def memory_sample(now_ns: int, sizes: dict[bytes, int], counters: dict[bytes, int]) -> MemorySample:
    """Make a sample of /proc/meminfo and /proc/vmstat; raises Malformed where meminfo lacks what all kernels have."""
    stalls = [count for name, count in counters.items() if name.startswith(b"allocstall")]  # one for each zone
    try:
        return MemorySample(
            at_ns=now_ns,
            total_bytes=sizes[b"MemTotal"],
            available_bytes=sizes[b"MemAvailable"],
            free_bytes=sizes[b"MemFree"],
            cached_bytes=sizes[b"Cached"],
            dirty_bytes=sizes[b"Dirty"],
            writeback_bytes=sizes[b"Writeback"],
            swap_total_bytes=sizes[b"SwapTotal"],
            swap_free_bytes=sizes[b"SwapFree"],
            swapped_in_bytes=_pages_to_bytes(counters.get(b"pswpin")),
            swapped_out_bytes=_pages_to_bytes(counters.get(b"pswpout")),
            scanned_background_pages=counters.get(b"pgscan_kswapd"),
            scanned_direct_pages=counters.get(b"pgscan_direct"),
            reclaimed_direct_pages=counters.get(b"pgsteal_direct"),
            direct_reclaims=sum(stalls) if stalls else None,
            major_faults=counters.get(b"pgmajfault"),
            oom_kills=counters.get(b"oom_kill"),
        )
    except KeyError as missing:
        raise Malformed(f"/proc/meminfo has no {missing.args[0].decode()}") from None


def read_process(pid: int, now_ns: int) -> ProcessMemory | None:
    """Sample a process, without PSS and USS; None where it has ended, is a zombie, or is hidden."""
    try:
        sizes = parse_sizes(read(roots.PROC / str(pid) / "status"))
        minor, major = parse_faults(read(roots.PROC / str(pid) / "stat"))
    except (Vanished, Unavailable):
        return None
    if b"VmRSS" not in sizes:
        return None
    swap = sizes.get(b"VmSwap")
    return ProcessMemory(now_ns, pid, sizes[b"VmSize"], sizes[b"VmRSS"], swap, minor, major, None, None)


def parse_sizes(raw: bytes) -> dict[bytes, int]:
    """Return the lines `Name:   1748 kB` of meminfo, status or smaps_rollup in bytes; others are left out."""
    sizes = {}
    for line in raw.split(b"\n"):  # a carriage return may stand in a process's name
        name, _, value = line.partition(b":")
        number, _, unit = value.strip().partition(b" ")
        if unit == b"kB" and number.isdigit():
            sizes[name] = int(number) * 1024
    return sizes


def parse_counters(raw: bytes) -> dict[bytes, int]:
    """Return the lines `name 42` of vmstat."""
    pairs = (line.split() for line in raw.split(b"\n"))
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}  # noqa: PLR2004 - a pair


def parse_faults(stat: bytes) -> tuple[int, int]:
    """Return a process's minor and major faults. Its name, in brackets, may hold anything: also brackets and blanks."""
    fields = stat[stat.rfind(b")") + 1 :].split()
    try:
        return int(fields[_MINOR_FAULTS]), int(fields[_MAJOR_FAULTS])
    except (IndexError, ValueError):
        raise Malformed(f"unknown form of /proc/PID/stat: {stat[:200]!r}") from None


def _limited(reason: str, lost: str) -> Availability:
    return Availability("limited", reason, lost, "run perfwatch as root, or as the target's user")


def _detailed(sample: ProcessMemory, pss_bytes: int | None, uss_bytes: int | None) -> ProcessMemory:
    if pss_bytes is None and uss_bytes is None:
        return sample
    return msgspec.structs.replace(sample, pss_bytes=pss_bytes, uss_bytes=uss_bytes)


def _pages_to_bytes(pages: int | None) -> int | None:
    return None if pages is None else pages * PAGE_BYTES
