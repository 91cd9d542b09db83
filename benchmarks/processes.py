"""Server, observers and CPU clocks for the benchmarks: each observer is attached to a server that runs already."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from perfwatch.examples.starting import await_answer, end_group, free_port, has_ended

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PRIVATE: Final = "python:perfwatch.examples.gunicorn_private"
READY_S: Final = 20.0
SETTLE_S: Final = 0.7
"""Between the start of an observer and the first measurement: all of them are attached by then."""
END_S: Final = 20.0
POLL_S: Final = 0.02
_CPUCLOCK_SCHED: Final = 2


@dataclass(frozen=True, slots=True)
class Target:
    """A gunicorn with one worker of eight threads."""

    master: int
    worker: int
    address: str

    def cpu_ns(self) -> int:
        """CPU time of master and worker, all threads, also ended ones."""
        return process_cpu_ns(self.master) + process_cpu_ns(self.worker)


def process_cpu_ns(pid: int) -> int:
    """Return the CPU time of a process in nanoseconds: the kernel's clock for it, see clock_getcpuclockid(3)."""
    return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED)


def observer_cpu_ns(pids: Sequence[int]) -> int:
    """Return the CPU time of an observer's processes; one that has ended since it was attached does not count."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += process_cpu_ns(pid)
    return total


@contextlib.contextmanager
def target() -> Iterator[Target]:
    """Run the target on a free loopback port."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "8"]
    command += [
        "--keep-alive",
        "75",
        "--graceful-timeout",
        "1",
        "--config",
        PRIVATE,
        "--bind",
        address,
        "target_app:app",
    ]
    process = subprocess.Popen(command, cwd=Path(__file__).parent, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        await_answer(process, address, "/", READY_S)
        (worker,) = psutil.Process(process.pid).children()
        yield Target(process.pid, worker.pid, address)
    finally:
        end_group(process)


def commands(served: Target, directory: Path) -> dict[str, Sequence[str]]:
    """Return how each observer is attached; those that are not installed are left out."""
    perfwatch = str(Path(sys.executable).parent / "perfwatch")
    py_spy = str(Path(sys.executable).parent / "py-spy")
    worker = str(served.worker)
    spied = [py_spy, "record", "-r", "100", "--format", "raw", "--pid", worker, "-o", str(directory / "spied")]
    everything: dict[str, Sequence[str]] = {
        "nothing": [],
        "perfwatch": [perfwatch, "record", "--pid", str(served.master), "-o", str(directory / "session")],
        "py-spy": spied,
        "strace": ["strace", "-c", "-f", "-p", worker, "-o", str(directory / "straced")],
    }
    return {name: command for name, command in everything.items() if not command or shutil.which(command[0])}


@contextlib.contextmanager
def observing(name: str, served: Target) -> Iterator[list[int]]:
    """Attach an observer for the block; yields the PIDs of its processes, none for `nothing`."""
    with tempfile.TemporaryDirectory(prefix="perfwatch-bench-") as directory:
        command = commands(served, Path(directory))[name]
        if not command:
            yield []
            return
        with attached(command, Path(directory) / "log") as pids:
            yield pids


@contextlib.contextmanager
def attached(command: Sequence[str], log: Path, made: Path | None = None) -> Iterator[list[int]]:
    """Run an observer for the block, from when it has `made` a file, or else some time on; yields its PIDs.

    It is ended as a user would end it, by Ctrl-C, and must then end well: else what was measured was not it.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + READY_S
        while made and not made.exists() and time.monotonic() < deadline and not has_ended(process, POLL_S):
            pass
        if has_ended(process, POLL_S if made else SETTLE_S):
            raise RuntimeError(f"{command[0]} ended: {log.read_text(errors='replace')}")
        yield [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        process.send_signal(signal.SIGINT)
        if not has_ended(process, END_S):
            raise RuntimeError(f"{command[0]} does not end")
    finally:
        end_group(process)
