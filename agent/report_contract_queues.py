"""The shape of a report, its second half: the queues of the host, how used its resources were, what perfwatch cost.

The rules of `report_contract.py` hold. Figures are over the whole session, states as of its end. What was not
measured is null or empty, never 0.
"""

from __future__ import annotations

import msgspec

# msgspec reads the annotations when a report is decoded.
from perfwatch.agent.model import Scalability  # noqa: TC001
from perfwatch.agent.model_queues import (  # noqa: TC001
    CgroupLimit,
    ConnectionSetup,
    CpuShare,
    DiskQueue,
    DiskShare,
    Interpreter,
    Pressure,
)
from perfwatch.agent.model_queues import Saturation as Resource  # noqa: TC001


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON object."""


class RunQueue(Struct, frozen=True):
    """Threads of the host that wanted a CPU: those that ran or could (`runnable`), those without one (`waiting`)."""

    runnable_mean: float | None
    cpus: int
    waiting_mean: float | None = None
    waiting_median: float | None = None
    waiting_max: int | None = None
    top: list[CpuShare] = []
    """Who used the CPUs most, the largest first."""


class Socket(Struct, frozen=True):
    """A socket of the target: listening ones with their accept queue, connections with what stands in their buffers."""

    local: str
    peer: str | None
    recv_q: int | None
    """Bytes that the target has not read; null for a listening socket."""
    send_q: int | None
    """Bytes that the peer has not acknowledged; null for a listening socket."""
    backlog: int | None
    """Deepest accept queue that was seen on this address; null for a connection."""
    backlog_max: int | None
    role: str = "listening"
    """`listening`, `accepted` or `connected`."""
    state: str | None = None
    pid: int | None = None
    backlog_now: int | None = None
    """Accept queue of this one socket at the last reading."""
    rtt_ms: float | None = None
    retransmits: int | None = None
    busy_ms: float | None = None
    """Time with data under way to the peer, since the connection began."""
    rwnd_limited_ms: float | None = None
    """Of `busy_ms`: the peer's receive window was full."""
    sndbuf_limited_ms: float | None = None
    """Of `busy_ms`: the send buffer was too small."""
    sent_bytes: int | None = None
    received_bytes: int | None = None
    drops: int | None = None


class Queues(Struct, frozen=True):
    """Where something waited."""

    run_queue: RunQueue
    sockets: list[Socket]
    """Listening ones first, then the connections with the longest queues; at most 64 of `socket_count`."""
    disks: list[DiskQueue]
    """The busiest first."""
    threads: dict[str, int] | None
    """Threads of the target by the kernel's letter of their state, at the last reading."""
    socket_count: int | None
    disk_users: list[DiskShare]
    cgroups: list[CgroupLimit]
    pressure: list[Pressure]
    connections: list[ConnectionSetup]
    interpreters: list[Interpreter] = []
    """The one whose lock was held most first."""


class Psi(Struct, frozen=True):
    """Part of the time in which some task of the host was held up for want of a resource, 0..1."""

    cpu: float | None
    memory: float | None
    io: float | None


class Saturation(Struct, frozen=True):
    """How much of each resource was used, 0..1 (memory: at the end); `resources` has the errors and the words too."""

    cpu: float | None
    memory: float | None
    disk: float | None
    network: float | None
    psi: Psi | None
    resources: list[Resource]
    scalability: Scalability | None = None
    """The Universal Scalability Law, fitted to the session; null where its load was not varied enough to tell."""


class ProbeCost(Struct, frozen=True):
    """What one probe used of one core, 0..1, and the time between its readings."""

    name: str
    cpu: float
    period_s: float


class Cost(Struct, frozen=True):
    """What perfwatch's collector cost: parts of one core, 0..1; `cpu` over the last second, `cpu_mean` over all."""

    cpu: float | None
    cpu_mean: float | None
    rss_bytes: int
    budget: float
    probes: list[ProbeCost]
    """The dearest first."""


class Slowed(Struct, frozen=True):
    """A probe that did less than it would, at the end: `period_s` is null where it followed a sample."""

    probe: str
    period_s: float | None
    reason: str
