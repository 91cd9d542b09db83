"""What the host and its processes do: rates made of two cumulative samples each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from perfwatch.probes.records import HostSample, ProcessSample

Role: TypeAlias = Literal["target", "perfwatch"]
FULL: Final = 0.9
_STALE_NS: Final = 3_000_000_000
_MAX_PROCESSES: Final = 1024


class _Process(NamedTuple):
    role: Role
    at_ns: int
    cpu_ns: int
    cpus: float | None
    """CPUs used between the last two samples."""
    open_files: int | None
    open_files_limit: int | None


class Host:
    """The newest figures; None where there are no two samples to make them of."""

    def __init__(self, cpus: int) -> None:
        self.cpus = max(cpus, 1)
        self.cpu_use: float | None = None
        self.cpu_use_mean: float | None = None
        self.steal: float | None = None
        self.runnable: int | None = None
        self.runnable_mean: float | None = None
        self.memory_use: float | None = None
        self._first: HostSample | None = None
        self._last: HostSample | None = None
        self._samples = 0
        self._runnable_sum = 0
        self._processes: dict[int, _Process] = {}

    def sample(self, sample: HostSample) -> None:
        """Take in the host's totals."""
        if self._first is None or self._last is None:
            self._first = self._last = sample
        self.cpu_use = _busy_share(self._last, sample)
        self.cpu_use_mean = _busy_share(self._first, sample)
        self.steal = _steal_share(self._last, sample)
        self._last = sample
        self._samples += 1
        self._runnable_sum += sample.runnable
        self.runnable = sample.runnable
        self.runnable_mean = self._runnable_sum / self._samples
        if sample.memory_total_bytes > 0:
            self.memory_use = 1 - sample.memory_available_bytes / sample.memory_total_bytes

    def process(self, sample: ProcessSample) -> None:
        """Take in one process's totals."""
        before = self._processes.pop(sample.pid, None)
        cpus = None
        if before is not None and sample.at_ns > before.at_ns and sample.cpu_ns >= before.cpu_ns:
            cpus = (sample.cpu_ns - before.cpu_ns) / (sample.at_ns - before.at_ns)
        if len(self._processes) >= _MAX_PROCESSES:
            del self._processes[next(iter(self._processes))]
        self._processes[sample.pid] = _Process(
            sample.role, sample.at_ns, sample.cpu_ns, cpus, sample.open_files, sample.open_files_limit
        )

    def used_by(self, role: Role, now_ns: int) -> float | None:
        """Return how many CPUs the processes of a role use; None where that is not known."""
        used = [process.cpus for process in self._alive(role, now_ns) if process.cpus is not None]
        return sum(used) if used else None

    def workers(self, now_ns: int, besides: int = 1) -> int | None:
        """Return how many processes the target has besides its first; None where they were not sampled."""
        return max(len(self._alive("target", now_ns)) - besides, 0) if self._processes else None

    def files(self, now_ns: int) -> tuple[int, int, int | None] | None:
        """Return (PID, open descriptors, limit) of the target's process that is nearest to its limit."""
        found = [
            (pid, max(process.open_files, 0), _positive(process.open_files_limit))
            for pid, process in self._processes.items()
            if process.role == "target" and process.open_files is not None and now_ns - process.at_ns <= _STALE_NS
        ]
        return max(found, key=lambda one: (one[1] / one[2] if one[2] else 0.0, one[1]), default=None)

    def is_target(self, pid: int) -> bool:
        """Whether a process was last seen as the target's."""
        process = self._processes.get(pid)
        return process is not None and process.role == "target"

    def _alive(self, role: Role, now_ns: int) -> list[_Process]:
        """Return the processes of a role that were seen in the last 3 s; the others have gone."""
        return [
            process
            for process in self._processes.values()
            if process.role == role and now_ns - process.at_ns <= _STALE_NS
        ]

    @property
    def full(self) -> bool:
        """Whether all CPUs are known to be busy."""
        return self.cpu_use is not None and self.cpu_use >= FULL


def _busy_share(before: HostSample, after: HostSample) -> float | None:
    busy = after.cpu_busy_ns - before.cpu_busy_ns
    idle = after.cpu_idle_ns - before.cpu_idle_ns
    return busy / (busy + idle) if busy >= 0 and idle >= 0 and busy + idle > 0 else None


def _steal_share(before: HostSample, after: HostSample) -> float | None:
    stolen = after.cpu_steal_ns - before.cpu_steal_ns
    passed = after.cpu_busy_ns + after.cpu_idle_ns - before.cpu_busy_ns - before.cpu_idle_ns
    return stolen / passed if stolen >= 0 and passed > 0 else None


def _positive(limit: int | None) -> int | None:
    return limit if limit is not None and limit > 0 else None
