"""The block devices and who uses them, once a second: queues, bytes and times, the target's part, its files.

Sources: /proc/diskstats (`diskstats.py`), /proc/PID/io of all processes (`process_io.py`), /proc/PID/{fd,mountinfo}
(`filesystems.py`), and where BPF may be used the block layer's tracepoint (`block/latency.py`). Cost: 0.3 ms, 8 us a
process of the host, and every 5 s 5 us a descriptor of the target.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final, Self

from perfwatch.probes import roots
from perfwatch.probes.block import latency
from perfwatch.probes.block.latency import BlockLatency, Histograms
from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.probe import AVAILABLE, Availability
from perfwatch.probes.readers.descriptors import links_of
from perfwatch.probes.readers.diskstats import Counters, parse_diskstats, whole_device
from perfwatch.probes.readers.io_delay import IoDelay, is_accounted
from perfwatch.probes.readers.proc import read
from perfwatch.probes.readers.process_io import Movers, moved_by_all
from perfwatch.probes.readers.target_files import FilesOfTree
from perfwatch.probes.samples import DiskLatency, DiskSample, DiskUsers, ProcessIo

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from types import TracebackType

    from perfwatch.probes.readers.process_io import Moved
    from perfwatch.probes.records import Record

MAX_PROCESSES: Final = 64
MAX_DEVICES: Final = 64
_FIRST_PID_NAMESPACE: Final = 0xEFFFFFFC


_FEW: Final = 10
"""One process in so many may refuse: there are some that root itself may not ask, and nothing would change that."""


class DiskProbe:
    """Samples the devices that are used or that the target's files are on, at most 64, and the target's processes."""

    name = "disk"
    period_s = 1.0

    def __init__(self, tree: Callable[[], Collection[int]], *, may_use_bpf: bool = True) -> None:
        """`tree` gives the PIDs of the target at this moment; without `may_use_bpf` there are no latencies."""
        self._tree = tree
        self._may_use_bpf = may_use_bpf
        self._movers = Movers()
        self._files = FilesOfTree()
        self._delays: dict[int, IoDelay] = {}
        self._latency: BlockLatency | None = None
        self._at_first: dict[tuple[int, int], tuple[int | None, ...]] = {}
        self._used: set[tuple[int, int]] = set()
        self._wholes: dict[tuple[tuple[int, int], str], str | None] = {}

    def availability(self) -> Availability:
        """Look at each source; the BPF program is loaded and unloaded, 5 ms."""
        try:
            read_devices()
        except (OSError, Vanished, Unavailable):
            return Availability(
                "unavailable", "/proc/diskstats may not be read", "all of the disks", "run perfwatch on the host"
            )
        missing = [*self._missing_latency(), *self._missing_users(), *self._missing_target()]
        if not missing:
            return AVAILABLE
        reasons, losses, remedies = zip(*missing, strict=True)
        return Availability("limited", "; ".join(reasons), "; ".join(losses), "; ".join(dict.fromkeys(remedies)))

    def __enter__(self) -> Self:
        try:
            self._at_first = {number: device.completed for number, device in read_devices().items()}
        except Vanished:
            raise Unavailable("/proc/diskstats is not there", "run perfwatch on the host") from None
        with ExitStack() as stack:
            if self._may_use_bpf:
                with suppress(Unavailable):
                    self._latency = stack.enter_context(BlockLatency())
            self._opened = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._latency = None
        self._opened.close()

    def read(self, now_ns: int) -> Sequence[Record]:
        """Return the devices, their latencies, who moved most, and the target's processes with their files."""
        tree = sorted(self._tree())[:MAX_PROCESSES]
        devices = read_devices()
        moved, top = self._movers.read(tree)
        files = self._files.read(tree, {number: device.name for number, device in devices.items()}, now_ns)
        return [
            *self._sample(devices, now_ns),
            *self._latencies(devices, now_ns),
            DiskUsers(now_ns, top),
            *self._processes(tree, moved, now_ns),
            *files,
        ]

    # --- devices

    def _sample(self, devices: dict[tuple[int, int], Counters], now_ns: int) -> Iterator[DiskSample]:
        for number, device in devices.items():
            if device.in_flight or device.completed != self._at_first.setdefault(number, device.completed):
                self._used.add(number)
        self._used &= devices.keys()
        targets = self._files.devices
        wanted = [each for each in devices.values() if each.name in targets]
        wanted += [each for each in devices.values() if each.number in self._used and not self._whole_of(each)]
        for device in list(dict.fromkeys(wanted))[:MAX_DEVICES]:
            yield disk_sample(device, now_ns)

    def _whole_of(self, device: Counters) -> str | None:
        """Return the device that a partition is part of; None for a whole one."""
        key = (device.number, device.name)
        if key not in self._wholes:
            self._wholes[key] = whole_device(device.number)
        return self._wholes[key]

    def _latencies(self, devices: dict[tuple[int, int], Counters], now_ns: int) -> Iterator[DiskLatency]:
        """Give the histograms of whole devices, partitions added up, and of partitions with files of the target."""
        if self._latency is None:
            return
        targets = self._files.devices
        totals: dict[str, Histograms] = {}
        for number, histograms in self._latency.read():
            device = devices.get(number)
            if device is None:
                continue
            whole = self._whole_of(device)
            if whole is None or device.name in targets:
                totals[device.name] = histograms.with_(totals.get(device.name))
            if whole is not None:
                totals[whole] = histograms.with_(totals.get(whole))
        for name, histograms in list(totals.items())[:MAX_DEVICES]:
            yield DiskLatency(now_ns, name, histograms.reads, histograms.writes)

    # --- processes

    def _processes(self, tree: list[int], moved: dict[int, Moved | None], now_ns: int) -> Iterator[ProcessIo]:
        counts_delay = is_accounted()
        self._delays = {pid: self._delays.get(pid) or IoDelay(pid) for pid in tree} if counts_delay else {}
        for pid in tree:
            if pid not in moved:  # it has ended
                continue
            delay_ns = None
            with suppress(Vanished, Unavailable):
                delay_ns = self._delays[pid].read() if counts_delay else None
            bytes_moved = moved[pid]
            read_bytes, written_bytes = bytes_moved or (None, None)
            yield ProcessIo(now_ns, pid, read_bytes, written_bytes, delay_ns)

    # --- what cannot be had here: (reason, what is lost, remedy)

    def _missing_latency(self) -> Iterator[tuple[str, str, str]]:
        if self._may_use_bpf:
            try:
                latency.check()
            except Unavailable as why:
                yield (why.reason, "how long single requests of the devices took", why.remedy)

    def _missing_users(self) -> Iterator[tuple[str, str, str]]:
        lost = "which other processes fill the disks"
        if _pid_namespace() != _FIRST_PID_NAMESPACE:
            yield ("processes outside of this container cannot be seen", lost, "run perfwatch on the host")
            return
        asked = moved_by_all(())
        refused = sum(moved is None for moved in asked.values())
        if not (roots.PROC / "1").exists():
            yield ("processes of other users are hidden (hidepid)", lost, _more_rights())
        elif refused * _FEW > len(asked):
            yield (f"{refused} of {len(asked)} processes may not be asked for their I/O", lost, _more_rights())

    def _missing_target(self) -> Iterator[tuple[str, str, str]]:
        tree = sorted(self._tree())[:MAX_PROCESSES]
        seen = 0
        for pid in tree:
            try:
                next(links_of(pid), None)
                seen += 1
            except Vanished:
                continue
            except (OSError, Unavailable):
                yield (
                    "the target's files may not be looked at by this user",
                    "which devices they are on",
                    _more_rights(),
                )
                return
        if tree and not seen:
            yield ("the target's processes cannot be seen by this user", "what they read and write", _more_rights())


def read_devices() -> dict[tuple[int, int], Counters]:
    """Read the counters of all block devices by number; raises Vanished or Unavailable."""
    return parse_diskstats(read(roots.PROC / "diskstats"))


def disk_sample(device: Counters, now_ns: int) -> DiskSample:
    """Make a record of a device's counters."""
    return DiskSample(
        at_ns=now_ns,
        device=device.name,
        reads=device.reads,
        writes=device.writes,
        read_bytes=device.read_bytes,
        written_bytes=device.written_bytes,
        read_ns=device.read_ns,
        write_ns=device.write_ns,
        in_flight=device.in_flight,
        busy_ns=device.busy_ns,
        queue_ns=device.queue_ns,
        flushes=device.flushes,
        flush_ns=device.flush_ns,
    )


def _more_rights() -> str:
    return "give perfwatch CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH" if os.geteuid() == 0 else "run perfwatch as root"


def _pid_namespace() -> int:
    try:
        return (roots.PROC / "self" / "ns" / "pid").stat().st_ino
    except OSError:
        return 0
