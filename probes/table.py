"""The table of probes: what each measures, from which source, at which cost, and what is not known without it.

A probe is named here by its module and class and imported when it is used: one that cannot be loaded (the packet
probe needs scapy) is then left out like one that may not run, and no report, replay or help pays for any.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any, Final, NamedTuple, TypeAlias

Tree: TypeAlias = Callable[[], Collection[int]]
"""Gives the target's PIDs at this moment."""


class Entry(NamedTuple):
    """One probe."""

    name: str
    place: str
    """Module below `perfwatch.probes`, and class."""
    measures: str
    source: str
    cost: str
    lost: str
    """What perfwatch does not know without it."""
    slowest_s: float
    """It is never read less often than this: beyond it, it would lose what it is for."""


LEDGER: Final = Entry(
    "ledger",
    "ledger.probe:LedgerProbe",
    "every request and its ledger, exactly",
    "BPF: scheduler and socket tracepoints",
    "0.2 ms, 12 µs a request, 30 µs one of an event loop, 60 µs a call in it; the server's share: docs/benchmarks.md",
    "exact ledgers: where each request's time went",
    0.1,
)
SAMPLED: Final = Entry(
    "sampled",
    "sampled.several:sampled",
    "requests and their ledgers, sampled; in the place of the ledger",
    "`/proc/PID/task/*`, packets of the listening ports",
    "0.1 ms, 3 µs a thread that rests, 30 µs one that does not",
    "requests, and what the threads did",
    0.1,
)
PAUSES: Final = Entry(
    "pauses",
    "pauses.probe:PausesProbe",
    "runs of the garbage collector, where the ledger can set no probe of its own: thread, length, generation",
    "watchpoints (perf events) on the collector's flag, `/proc/PID/mem`",
    "30 µs, 15 µs a process, 1 µs a watched thread, and 30 µs a run; the server itself: 24 µs a run",
    "when the garbage collector ran, and for how long",
    0.25,
)
SIDE: Final = (
    Entry(
        "host",
        "host:HostProbe",
        "the host's totals, CPU, memory and open files of the target's processes, and of perfwatch",
        "`/proc/stat`, `/proc/meminfo`, `/proc/PID/{stat,limits,fd}`",
        "0.2 ms, and 0.15 ms a process",
        "the host's CPU and memory use",
        1.0,
    ),
    Entry(
        "cpu",
        "cpu:CpuProbe",
        "run-queue length, use of each CPU, the processes that use most",
        "`/proc/stat`, `/proc/loadavg`, `/proc/PID/stat`",
        "10 µs; once a second 0.3 ms, and 10 µs a process of the host",
        "who else uses the CPUs, and how long the run queue is",
        1.0,
    ),
    Entry(
        "pressure",
        "pressure:PressureProbe",
        "how long tasks were held up by CPU, memory and I/O: host and cgroup",
        "`/proc/pressure`, `*.pressure` of the cgroup",
        "60 µs, and 12 µs a process",
        "pressure stall times",
        30.0,
    ),
    Entry(
        "cgroup",
        "cgroup:CgroupProbe",
        "CPU quota and throttling, memory limit, use and events, I/O",
        "cgroup files, v1 and v2",
        "0.25 ms, and 12 µs a process",
        "quotas, limits, and how often they were hit",
        30.0,
    ),
    Entry(
        "memory",
        "memory:MemoryProbe",
        "the host's memory, swap and reclaim; RSS, PSS, USS and faults of the target's processes",
        "`/proc/meminfo`, `/proc/vmstat`, `/proc/PID/{statm,stat,smaps_rollup}`",
        "0.3 ms, and 60 µs a process",
        "why a request waited for memory",
        30.0,
    ),
    Entry(
        "disk",
        "disk:DiskProbe",
        "queue, utilisation and latency of each block device, who moves the bytes, where the target's files are",
        "`/proc/diskstats`, `/proc/PID/io`, `/proc/PID/fd`, BPF",
        "0.3 ms, and 8 µs a process of the host",
        "which device a request waited for, and who fills it",
        30.0,
    ),
    Entry(
        "sockets",
        "sockets:SocketsProbe",
        "the target's sockets: queues, backlog, round-trip times, retransmits, what held them up",
        "NETLINK_SOCK_DIAG with TCP_INFO",
        "0.3 ms for 20 sockets, 25 ms for 10,000",
        "queues of sockets, round-trip times, retransmits",
        30.0,
    ),
    Entry(
        "peers",
        "peers:PeersProbe",
        "which processes of this host the target calls: PID and name",
        "NETLINK_SOCK_DIAG, `/proc/PID/fd`, `/proc/PID/net`",
        "5 µs; a new peer: 10 µs a process of the host, 4 µs a descriptor, at most 5 ms a reading",
        "which processes answer the calls of the target",
        2.0,
    ),
    Entry(
        "network",
        "network:NetworkProbe",
        "counters of the target's network namespace: retransmits, overflows, drops",
        "`/proc/PID/net/{netstat,snmp,dev}`",
        "0.3 ms",
        "overflows of accept queues, retransmits and drops of the host",
        30.0,
    ),
    Entry(
        "threads",
        "threads:ThreadsProbe",
        "each thread's state, wait channel, system call, whether it wants the interpreter lock, CPU and waiting time",
        "`/proc/PID/task/*`, `/proc/PID/maps`",
        "4 µs a thread that rests, 15 µs one that does not; every 10 s 0.5 ms a process",
        "what each thread is doing",
        30.0,
    ),
    Entry(
        "stacks",
        "stacks.probe:StacksProbe",
        "the stacks of all Python threads, who holds the interpreter lock, the state of the garbage collector",
        "the memory of the target's interpreters (process_vm_readv)",
        "0.1 ms a process, 3 µs a thread that rests, 60 µs one that does not; up to 3.10 twice that",
        "what the code does, and who holds the interpreter lock",
        0.2,
    ),
    Entry(
        "tasks",
        "tasks.probe:TasksProbe",
        "the asyncio tasks: which coroutines each awaits, and which connection it serves",
        "the memory of the target's interpreters (process_vm_readv)",
        "0.1 ms a process with an event loop, 15 µs a task that rests, 0.3 ms one that does not, in all 3 ms",
        "what the coroutines of an event loop wait for",
        0.5,
    ),
    Entry(
        "wire",
        "wire.probe:WireProbe",
        "TCP set-up and TLS handshakes: times, versions, resumption, resets",
        "packets (scapy), handshakes and resets only",
        "5 µs a packet that passes the filter",
        "what connections and TLS handshakes cost",
        0.1,
    ),
    PAUSES,
)
SPANS: Final = Entry(
    "spans",
    "spans:SpansProbe",
    "boundaries, routes and call trees of requests; only with `--spans`",
    "the middleware in the target, over a Unix socket of the target's user",
    "15 µs, and 10 µs a request",
    "the names of routes, and call trees of asynchronous requests",
    0.05,
)
"""It listens, so it has to be asked for."""
CORES: Final = (LEDGER, SAMPLED)
ENTRIES: Final = (*CORES, *SIDE, SPANS)
NAMES: Final = tuple(entry.name for entry in (*CORES, *SIDE))
"""Those that run without being asked for."""


def constructor(entry: Entry) -> Callable[..., Any]:
    """Import what makes a probe: one of `CORES` is made of a PID and `interpreter_of`, any other of a `Tree`.

    One of `CORES` also takes `also`: further PIDs. Raises ImportError where a library is missing or broken.
    """
    module, _, name = entry.place.partition(":")
    found: Callable[..., Any] = getattr(import_module(f"perfwatch.probes.{module}"), name)
    return found
