"""Who reads in the benchmark of readings, and of whom: the probes, psutil, other programs; and their targets."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil

from perfwatch.probes.cgroup import CgroupProbe
from perfwatch.probes.cpu import CpuProbe
from perfwatch.probes.disk import DiskProbe
from perfwatch.probes.errors import Unavailable
from perfwatch.probes.host import HostProbe
from perfwatch.probes.memory import MemoryProbe
from perfwatch.probes.network import NetworkProbe
from perfwatch.probes.pressure import PressureProbe
from perfwatch.probes.sockets import SocketsProbe
from perfwatch.probes.threads import ThreadsProbe
from perfwatch.probes.wire.probe import WireProbe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from perfwatch.probes.probe import Probe

PROBES: Final = (
    HostProbe,
    CpuProbe,
    PressureProbe,
    CgroupProbe,
    MemoryProbe,
    DiskProbe,
    NetworkProbe,
    ThreadsProbe,
    SocketsProbe,
    WireProbe,
)
WITH_THREADS: Final = """
import sys, threading
for _ in range(int(sys.argv[1]) - 1):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
WITH_SOCKETS: Final = """
import resource, socket, sys
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
server = socket.create_server(("127.0.0.1", 0), backlog=4096)
held = []
for _ in range(int(sys.argv[1]) // 2):
    held.append((socket.create_connection(server.getsockname()), server.accept()[0]))
print("ready", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A process that has so many threads or sockets, and sleeps."""

    pid: int
    label: str


@contextlib.contextmanager
def target(source: str, count: int, label: str) -> Iterator[Target]:
    """Run a target for the block."""
    command = [sys.executable, "-c", source, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"no target with {label}")
        yield Target(process.pid, label)


def commands(pid: int) -> Mapping[str, Sequence[str]]:
    """Return what is installed of the programs that show the same."""
    everything = {
        "`ss -tinm`": ["ss", "-tinm"],
        "`ss -V` (its start alone)": ["ss", "-V"],
        "`pidstat -t`": ["pidstat", "-t", "-p", str(pid)],
    }
    return {name: command for name, command in everything.items() if shutil.which(command[0])}


def psutil_readings(pid: int) -> Mapping[str, Callable[[], object]]:
    """Return psutil's nearest to each probe."""
    process = psutil.Process(pid)
    return {
        "psutil cpu_times": lambda: (psutil.cpu_times(percpu=True), psutil.cpu_stats(), psutil.getloadavg()),
        "psutil virtual_memory, memory_info": lambda: (psutil.virtual_memory(), process.memory_info()),
        "psutil disk_io_counters": lambda: psutil.disk_io_counters(perdisk=True),
        "psutil net_io_counters": lambda: psutil.net_io_counters(pernic=True),
        "psutil threads": process.threads,
        "psutil net_connections": lambda: process.net_connections("tcp"),
    }


@contextlib.contextmanager
def opened(pid: int) -> Iterator[dict[str, Callable[[], object]]]:
    """Open every probe that can run here; yields what reads each. The others are named on stderr."""
    with contextlib.ExitStack() as stack:
        readings: dict[str, Callable[[], object]] = {}
        for kind in PROBES:
            probe: Probe = kind(lambda: [pid])
            try:
                stack.enter_context(probe)
            except Unavailable as error:
                sys.stderr.write(f"{probe.name}: {error}\n")
                continue
            readings[f"**{probe.name}**"] = clocked(probe)
        yield readings


def clocked(probe: Probe) -> Callable[[], object]:
    """Return what reads a probe, its clock one period later each time."""
    now_ns = time.monotonic_ns()

    def read() -> object:
        nonlocal now_ns
        now_ns += round(probe.period_s * 1e9)
        return probe.read(now_ns)

    return read
