"""The disks of the host: how busy each is, who moves most, and which of them the target's files are on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.rates import disk_rate, grown, latency_p99_ms, per_second
from perfwatch.agent.correlator.seconds import KEPT, Seconds
from perfwatch.agent.correlator.series import Named, Series
from perfwatch.agent.correlator.tally import Tally
from perfwatch.agent.model_lately import OwnIo
from perfwatch.agent.model_queues import DiskQueue, DiskShare

if TYPE_CHECKING:
    from perfwatch.agent.correlator.series import Span
    from perfwatch.probes.samples import DiskLatency, DiskSample, DiskUsers, FilePlace, ProcessIo, TargetFiles

SHOWN: Final = 5
_MAX_USERS: Final = 16
_MAX_DEVICES: Final = 16
_MAX_PROCESSES: Final = 64
_MAX_FILES: Final = 32
_MAX_MOUNTS: Final = 8


class _Mover(NamedTuple):
    pid: int
    name: str
    is_target: bool


class Disks:
    """Block devices by name, and the target's files on them."""

    def __init__(self, seconds: int = KEPT) -> None:
        self._devices: Named[DiskSample] = Named(_continues)
        self._latencies: Named[DiskLatency] = Named(_counts_on)
        self._users: Series[DiskUsers] = Series(_always)
        self._moved: Tally[_Mover] = Tally()
        self._moved_ns = 0
        self._processes: Named[ProcessIo] = Named(_always)
        self._files: dict[int, tuple[FilePlace, ...]] = {}
        self.busy = Seconds(seconds)
        """Of the device that was busiest in each."""

    def sample(self, sample: DiskSample) -> None:
        """Take in a device's counters; costs about 5 us."""
        before = self._devices.add(sample.device, sample)
        rate = None if before is None else disk_rate(before, sample)
        if before is not None and rate is not None:
            self.busy.put(rate.busy, sample.at_ns, before.at_ns)

    def latency(self, sample: DiskLatency) -> None:
        """Take in how long a device's requests took; costs about 3 us."""
        self._latencies.add(sample.device, sample)

    def users(self, sample: DiskUsers) -> None:
        """Take in who moved most bytes; costs about 8 us."""
        before = self._users.add(sample)
        if before is not None:
            self._moved_ns += sample.at_ns - before.at_ns
            _add(self._moved, sample)

    def process(self, sample: ProcessIo) -> None:
        """Take in a process's own block I/O; costs about 2 us."""
        self._processes.add(str(sample.pid), sample)

    def files(self, record: TargetFiles) -> None:
        """Take in where a process's files lie; costs about 1 us."""
        self._files.pop(record.pid, None)
        if len(self._files) >= _MAX_PROCESSES:
            del self._files[next(iter(self._files))]
        self._files[record.pid] = record.files[:_MAX_FILES]

    def queues(self, span: Span) -> tuple[DiskQueue, ...]:
        """Return the devices, the busiest first, at most 16."""
        found: list[DiskQueue] = []
        for device, pair in self._devices.around(span):
            rate = disk_rate(*pair)
            if rate is not None:
                found.append(
                    DiskQueue(
                        device=device,
                        utilisation=rate.busy,
                        depth=rate.depth,
                        await_ms=rate.await_ms,
                        read_bytes_s=rate.read_bytes_s,
                        written_bytes_s=rate.written_bytes_s,
                        p99_ms=self._p99_ms(device, span),
                        file_systems=self._mounts(device),
                        reads_s=rate.reads_s,
                        writes_s=rate.writes_s,
                        read_ms=rate.read_ms,
                        write_ms=rate.write_ms,
                        in_flight=pair[1].in_flight,
                    )
                )
        found.sort(key=lambda one: (-one.utilisation, -one.depth, one.device))
        return tuple(found[:_MAX_DEVICES])

    def movers(self, span: Span) -> tuple[DiskShare, ...]:
        """Return the five processes that moved most bytes, the largest first."""
        moved, passed_ns = self._moved, self._moved_ns
        if span.from_ns is not None:
            moved = Tally()
            for sample in self._users.within(span):
                _add(moved, sample)
            pair = self._users.around(span)
            passed_ns = pair[1].at_ns - pair[0].at_ns if pair else 0
        return tuple(
            DiskShare(mover.pid, mover.name, read * 1e9 / passed_ns, written * 1e9 / passed_ns, mover.is_target)
            for mover, (read, written) in moved.largest(SHOWN)
            if passed_ns > 0
        )

    def moved_by(self, pid: int, span: Span) -> float | None:
        """Return the bytes that a process of the target read from and wrote to disks, per second."""
        series = self._processes.of(str(pid))
        pair = None if series is None else series.around(span)
        own = None if pair is None else _own_io(*pair)
        if own is None or own.read_bytes_s is None or own.written_bytes_s is None:
            return None
        return own.read_bytes_s + own.written_bytes_s

    def own_io(self, span: Span) -> tuple[OwnIo, ...]:
        """Return what each process of the target moved, the largest first, at most 16."""
        found = [_own_io(*pair) for _, pair in self._processes.around(span)]
        found.sort(key=lambda one: (-((one.read_bytes_s or 0.0) + (one.written_bytes_s or 0.0)), one.pid))
        return tuple(found[:_MAX_USERS])

    def open_files(self) -> tuple[FilePlace, ...]:
        """Return the files that the target has open, each path once, those that it writes first, at most 32."""
        found = {(one.path, one.device): one for files in self._files.values() for one in files}
        return tuple(sorted(found.values(), key=lambda one: (not one.is_written, one.path))[:_MAX_FILES])

    def devices_of(self, pid: int) -> frozenset[str]:
        """Return the devices that a process's files are on; those of the whole target where it has none open."""
        own = self._files.get(pid) or tuple(file for files in self._files.values() for file in files)
        return frozenset(file.device for file in own)

    def _p99_ms(self, device: str, span: Span) -> float | None:
        series = self._latencies.of(device)
        pair = None if series is None else series.around(span)
        return None if pair is None else latency_p99_ms(*pair)

    def _mounts(self, device: str) -> tuple[str, ...]:
        mounts = {
            f"{file.mount_point} ({file.file_system})"
            for files in self._files.values()
            for file in files
            if file.device == device
        }
        return tuple(sorted(mounts)[:_MAX_MOUNTS])


def _add(moved: Tally[_Mover], sample: DiskUsers) -> None:
    for user in sample.top[:_MAX_USERS]:
        moved.add(_Mover(user.pid, user.name, user.is_target), user.read_bytes, user.written_bytes)


def _own_io(before: ProcessIo, after: ProcessIo) -> OwnIo:
    passed_ns = after.at_ns - before.at_ns
    waited_ns = grown(before.delay_ns, after.delay_ns)
    return OwnIo(
        pid=after.pid,
        read_bytes_s=per_second(grown(before.read_bytes, after.read_bytes), passed_ns),
        written_bytes_s=per_second(grown(before.written_bytes, after.written_bytes), passed_ns),
        waited=None if waited_ns is None or passed_ns <= 0 else waited_ns / passed_ns,
    )


def _continues(before: DiskSample, after: DiskSample) -> bool:
    return after.reads >= before.reads and after.writes >= before.writes and after.busy_ns >= before.busy_ns


def _counts_on(before: DiskLatency, after: DiskLatency) -> bool:
    return sum(after.reads) >= sum(before.reads) and sum(after.writes) >= sum(before.writes)


def _always(_before: object, _after: object) -> bool:
    return True
