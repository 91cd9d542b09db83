"""What is made of records: a request with its ledger and verdict, endpoints, and the view that is shown.

All values are frozen. Times are nanoseconds, `*_ms` floats only where something is shown. Units stand in names.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import msgspec

from perfwatch.agent.model_container import Container as Container  # noqa: PLC0414, TC001
from perfwatch.agent.model_lately import Lately, Waits
from perfwatch.agent.model_memory import GcRuns, MemoryState
from perfwatch.agent.model_queues import OwnCost, Queues, Saturation
from perfwatch.agent.model_threads import TargetThread as TargetThread  # noqa: PLC0414, TC001
from perfwatch.probes.frames import Frame as Frame  # noqa: PLC0414, TC001 - msgspec reads the annotations
from perfwatch.probes.records import BUCKETS as BUCKETS  # noqa: PLC0414
from perfwatch.probes.records import Bucket as Bucket  # noqa: PLC0414
from perfwatch.probes.records import Call as Call  # noqa: PLC0414
from perfwatch.probes.records import Culprit as Culprit  # noqa: PLC0414
from perfwatch.probes.records import OpenRequest as OpenRequest  # noqa: PLC0414
from perfwatch.probes.records import PeerProcess as PeerProcess  # noqa: PLC0414
from perfwatch.probes.records import Protocol as Protocol  # noqa: PLC0414
from perfwatch.probes.records import Record as Record  # noqa: PLC0414
from perfwatch.probes.records import ServedRequest as ServedRequest  # noqa: PLC0414
from perfwatch.probes.records import Wait as Wait  # noqa: PLC0414
from perfwatch.probes.records import Waker as Waker  # noqa: PLC0414
from perfwatch.probes.samples import ClockReading as ClockReading  # noqa: PLC0414, TC001 - as above

if TYPE_CHECKING:
    from collections.abc import Iterable

Principle: TypeAlias = Literal["efficiency", "concurrency", "capacity", "healthy", "unknown"]
Mechanism: TypeAlias = Literal[
    "cpu",
    "gc",
    "sleep",
    "chatty",
    "connect",
    "tls",
    "transfer",
    "gil",
    "lock",
    "event-loop",
    "pool",
    "queue",
    "run-queue",
    "throttle",
    "disk",
    "memory",
    "network",
    "dependency",
]
MECHANISMS: Final[tuple[Mechanism, ...]] = get_args(Mechanism)
PRINCIPLE_OF: Final[dict[Mechanism, Principle]] = {
    "cpu": "efficiency",
    "gc": "efficiency",
    "sleep": "efficiency",
    "chatty": "efficiency",
    "connect": "efficiency",
    "tls": "efficiency",
    "transfer": "efficiency",
    "gil": "concurrency",
    "lock": "concurrency",
    "event-loop": "concurrency",
    "pool": "concurrency",
    "queue": "concurrency",
    "run-queue": "capacity",
    "throttle": "capacity",
    "disk": "capacity",
    "memory": "capacity",
    "network": "capacity",
    "dependency": "capacity",
}
Chance: TypeAlias = Literal[
    "cache", "static", "compress", "reuse-connections", "resume-tls", "overlap-calls", "retries"
]
"""What an opportunity is."""
MAX_JUDGED: Final = 1000
"""So many judged requests a view holds."""


COLUMN: Final[dict[Bucket, int]] = {bucket: place for place, bucket in enumerate(BUCKETS)}
"""Which figure of a ledger is a bucket's."""


class Ledger(msgspec.Struct, frozen=True, gc=False):
    """Where a latency went: `total_ns == sum(booked_ns) + unaccounted_ns`, exactly."""

    total_ns: int
    booked_ns: tuple[int, ...]
    """One figure for each of `BUCKETS`."""

    @property
    def unaccounted_ns(self) -> int:
        """What no bucket explains; shown, never hidden. Negative would mean that time was booked twice."""
        return self.total_ns - sum(self.booked_ns)

    def __getitem__(self, bucket: Bucket) -> int:
        return self.booked_ns[COLUMN[bucket]]

    def share(self, *buckets: Bucket) -> float:
        """Part of the latency that these buckets explain, 0..1."""
        return sum(self[bucket] for bucket in buckets) / self.total_ns if self.total_ns > 0 else 0.0


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """One fact behind a verdict: a name and a value, for a person and for a program."""

    name: str
    """Snake case, with the unit: `lock_ms`, `peer`, `waker`."""
    value: float | int | str
    text: str
    """The same as a short sentence: `waited 391 ms for a lock, in 1 wait`."""


class Cause(msgspec.Struct, frozen=True, gc=False):
    """A mechanism and the part of a latency that it explains, 0..1."""

    mechanism: Mechanism
    share: float


class Link(msgspec.Struct, frozen=True):
    """One step of a blame chain: who held what the one before waited for, and what it did meanwhile."""

    kind: Literal["request", "thread", "task", "process", "peer", "device"]
    name: str
    """`POST /order`, `refresher (tid 4321)`, `postgres (pid 812)`, `10.0.0.5:5432`, `vda`; untrusted."""
    mechanism: Mechanism | None
    """Why it held that for so long; None where that is not known, or it is where the chain ends."""
    share: float
    """Of the latency at the beginning of the chain, 0..1."""
    frame: Frame | None = None
    """Where in its code it held it."""
    request: int | None = None
    """Its id, where `kind` is `request`."""
    pid: int | None = None
    tid: int | None = None


class WhatIf(msgspec.Struct, frozen=True):
    """What an endpoint's latency would be if one mechanism were gone."""

    mechanism: Mechanism
    p50_ms: float
    p95_ms: float


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """Why something is slow: one principle, one mechanism, and how sure that is."""

    principle: Principle
    mechanism: Mechanism | None
    """None for `healthy` and `unknown`."""
    share: float
    """Part of the latency that the mechanism explains, 0..1."""
    confidence: float
    """0..1."""
    summary: str
    """One line for a tired person."""
    evidence: tuple[Evidence, ...] = ()
    advice: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    """Mechanisms that explain at least 5 %, this one first, then the largest; of `unknown` those that were weighed."""
    chain: tuple[Link, ...] = ()
    """Who held what was waited for, and who held that, to the end; at most 8. Empty where nobody held anything."""


class Deadlock(msgspec.Struct, frozen=True):
    """Threads or tasks that wait for each other in a ring, as long as they hang."""

    members: tuple[Link, ...]
    """Each waits for the next, the last for the first."""
    since_ns: int
    """Monotonic: when the last of them began to wait."""


class Interval(msgspec.Struct, frozen=True):
    """An estimate and the bounds that it lies between with 95 % confidence."""

    value: float
    low: float
    high: float


class Scalability(msgspec.Struct, frozen=True):
    """The Universal Scalability Law, fitted: X(N) = rate * N / (1 + contention (N - 1) + coherency N (N - 1))."""

    rate_rps: Interval
    """Throughput of one request at a time."""
    contention: Interval
    """The serial part, 0..1."""
    coherency: Interval
    """What each pair of requests at the same time costs, 0..1."""
    knee: float | None
    """The concurrency at which throughput is largest; None where there is no such point within reach."""
    peak_rps: float | None
    """Throughput there."""
    r_squared: float
    concurrency: tuple[float, float]
    """Least and largest that was observed."""


class Opportunity(msgspec.Struct, frozen=True):
    """Something that would make requests cheaper, and is not why they are slow."""

    kind: Chance
    endpoint: tuple[str, str]
    """Method and route, as they are shown."""
    text: str
    """One sentence with its numbers."""
    saves_ms: float | None
    """Per request that it concerns, on average; None where that cannot be told."""
    count: int
    """Requests that it concerns."""
    evidence: tuple[Evidence, ...] = ()
    advice: tuple[str, ...] = ()


class StackTime(msgspec.Struct, frozen=True, gc=False):
    """Time that was spent with one stack, for one reason; there are many of these, and none is in a cycle."""

    frames: tuple[Frame, ...]
    """The innermost first; empty where the code is not known."""
    bucket: Bucket
    is_gc: bool
    """Of `on_cpu`: the garbage collector ran."""
    spent_ns: int
    mechanism: Mechanism | None = None
    """Where its bucket is not all of one mechanism: of `calls` and `lock` what is `chatty`, `pool` and so on."""


class FrameShare(msgspec.Struct, frozen=True):
    """A place in the code, and the time that was spent there or in what it called."""

    function: str
    """Untrusted, as the file's name is."""
    file: str
    line: int
    share: float
    """Of the latency, 0..1."""
    called: str | None = None
    """What it was in the midst of calling: `json.dumps`, `hashlib.sha256`; None where it did the work itself."""


class Callee(msgspec.Struct, frozen=True):
    """The request of another watched service that a call was at its other end."""

    call: int
    """Place in the caller's `record.calls`."""
    request: int
    """Its id."""
    pid: int
    process: str
    """`gunicorn (pid 4313)`."""
    method: str
    route: str
    ledger: Ledger
    verdict: Verdict


class Request(msgspec.Struct, frozen=True, gc=False):
    """A finished request: what was measured, and what was concluded."""

    record: ServedRequest
    route: str
    """The path with its variable parts folded: `/users/{}`."""
    ledger: Ledger
    slow: bool
    verdict: Verdict | None
    """None where the request was not judged: it was not slow."""
    stacks: tuple[StackTime, ...] = ()
    """Of a judged request: its whole latency, by code and reason; adds up to `ledger.total_ns`. Else empty.

    Without frames what no stack is known of; of that `other` holds what is unaccounted too."""
    frames: tuple[FrameShare, ...] = ()
    """Where in the code the mechanism of the verdict spent its time, the largest share first; at most 8."""
    service: int | None = None
    """PID of the target that served it; None where only one is watched."""
    callees: tuple[Callee, ...] = ()
    """Of a judged request: what its calls were in other services that are watched, in the order of the calls."""

    @property
    def endpoint(self) -> tuple[str, str]:
        """Method and route; of several services also which one."""
        return (self.record.method or "?", told_route(self.route, self.service))

    @property
    def failed(self) -> bool:
        """Answered with 5xx, or not answered; of gRPC: with another status than OK."""
        return has_failed(self.record)


def has_failed(record: ServedRequest) -> bool:
    """Tell whether it was answered with 5xx, or not answered; of gRPC: with another status than OK."""
    return record.outcome != "answered" or (record.status or 0) >= 500 or bool(record.grpc_status)  # noqa: PLR2004


def arrival_of(request: ServedRequest | OpenRequest) -> int:
    """Return when a request came, as far as that was seen: when it was read, else."""
    return request.started_ns if request.arrived_ns is None else request.arrived_ns


def resumed_at(wait: Wait) -> int:
    """Return when a thread that waited ran again."""
    return wait.started_ns + wait.blocked_ns + wait.runnable_ns


def told_route(route: str, service: int | None) -> str:
    """Return a route as it is shown: `/users/{}`; of one of several services `/users/{} @4312`."""
    return route if service is None else f"{route} @{service}"


class Downstream(msgspec.Struct, frozen=True):
    """Calls of one operation to one peer, over all requests or those of one endpoint."""

    peer: str
    """`(others)`: the sum of those beyond the ones that are told apart."""
    protocol: Protocol
    operation: str | None
    """Without literals; untrusted. None where it is not known."""
    kind: Literal["call", "publish"]
    count: int
    """Of those that were told one by one: at most 256 of each request."""
    requests: int
    """So many requests made any."""
    per_request: float
    """Calls in each of these, on average."""
    p50_ms: float
    """From its first byte, or from connecting, to the last byte of the answer; at most 1.6 % off, as `p95_ms` is."""
    p95_ms: float
    total_ms: float
    """Of all these calls: where they overlap, it is more than anybody waited."""
    connect_share: float
    """Of `total_ms`, 0..1; so are the others."""
    tls_share: float
    transfer_share: float
    connections: int
    """New ones that were opened for these calls."""
    failed: int
    """Refused, reset, or closed before an answer."""
    sent_bytes: int
    received_bytes: int


class Latency(msgspec.Struct, frozen=True):
    """Quantiles of a set of latencies, in milliseconds (nearest rank)."""

    p50: float
    p90: float
    p95: float
    p99: float
    max: float


class Endpoint(msgspec.Struct, frozen=True):
    """All requests of one method and route."""

    method: str
    route: str
    count: int
    slow_count: int
    errors: int
    latency_ms: Latency
    ledger: Ledger
    """Mean of the judged requests: the slow ones; of one that is always slow, the usual ones. All where none was."""
    judged_count: int
    verdict: Verdict
    stacks: tuple[StackTime, ...] = ()
    """Summed over the judged requests, the largest first; of more than 256 the small ones are told by their place only,
    or by their reason, so that no time is lost."""
    frames: tuple[FrameShare, ...] = ()
    """As in `Request`, over the judged requests."""
    service: int | None = None
    """As in `Request`."""
    downstream: tuple[Downstream, ...] = ()
    """Of all its requests, what took longest first; at most 20."""
    normal: Ledger | None = None
    """Mean of its requests that were not slow; None where there is none, or it is always slow."""
    normal_count: int = 0
    what_if: tuple[WhatIf, ...] = ()
    """For each of its verdict's causes, in their order; empty where nothing is predicted."""

    @property
    def place(self) -> str:
        """Its route as it is shown."""
        return told_route(self.route, self.service)


class Instant(msgspec.Struct, frozen=True):
    """One second of the timeline."""

    at_ns: int
    """Start of the second, monotonic."""
    requests: int
    slow: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None
    in_flight: int
    cpu_use: float | None = None
    """Of the host, 0..1; None where it was not measured."""


class View(msgspec.Struct, frozen=True):
    """All that a screen or a report shows at one moment of the stream."""

    now_ns: int
    """Time of the newest record, monotonic; 0 before the first."""
    first_ns: int
    verdict: Verdict
    slow_threshold_ms: float | None
    """The fixed threshold; None where it adapts to each endpoint."""
    count: int
    slow_count: int
    errors: int
    throughput_rps: float
    concurrency: float
    """Mean number of requests in the system: sum of latencies over the duration."""
    latency_ms: Latency | None
    """None before the first request."""
    endpoints: tuple[Endpoint, ...]
    """The one that costs its users most (time of judged requests) first."""
    requests: tuple[Request, ...]
    """Judged requests in order of delivery, newest last, at most `MAX_JUDGED`."""
    in_flight: tuple[OpenRequest, ...]
    in_flight_count: int
    timeline: tuple[Instant, ...]
    """Oldest first, at most an hour."""
    events: tuple[tuple[int, str], ...]
    """(at_ns, text): the target forked, re-executed, ended; losses; at most 200, newest last."""
    lost: int
    """Events that were lost, all probes, since the start."""
    target_gone: str | None
    """How and when the target ended; None while it lives."""
    cpu_use: float | None
    """Of the host, 0..1, over the last second."""
    memory_use: float | None
    own_cpu: float | None
    """perfwatch's own use of one core, over the last second."""
    listeners: tuple[tuple[str, int, int], ...] = ()
    """(address, deepest accept queue, its limit)."""
    losses: tuple[tuple[str, int], ...] = ()
    """(probe, events lost): what `lost` is the sum of."""
    cpu_use_mean: float | None = None
    """Of the host, 0..1, since the first record."""
    runnable_mean: float | None = None
    """Threads that ran or could run, of the whole host."""
    workers: int | None = None
    """Processes of the target besides the one that was named, or those; None where that is not known."""
    in_flight_at_ns: int | None = None
    """When `in_flight` was taken: what its ledgers are booked up to; None before the first."""
    queues: Queues = Queues()
    """Over the last 10 s."""
    queues_overall: Queues = Queues()
    """Since the first record."""
    saturation: tuple[Saturation, ...] = ()
    """Over the last 10 s; resources that nothing is known of are left out."""
    saturation_overall: tuple[Saturation, ...] = ()
    own_cost: OwnCost | None = None
    slowed_probes: tuple[tuple[str, float | None, str], ...] = ()
    """(probe, seconds between readings at present, why): those that are read less often than they would be. Without
    seconds: those that follow a sample, and `why` says which."""
    downstream: tuple[Downstream, ...] = ()
    """Of all requests, what took longest first; at most 20."""
    peers: tuple[PeerProcess, ...] = ()
    """The processes of this host that the target called, as each of its own processes sees them."""
    opportunities: tuple[Opportunity, ...] = ()
    """What saves most in all first; at most 20."""
    scalability: Scalability | None = None
    """None where the session's load was not varied enough to tell."""
    deadlocks: tuple[Deadlock, ...] = ()
    """Those that hang at present; at most 8."""
    lately: Lately = Lately()
    """Over the last 10 s, what stands behind `queues`."""
    permits: tuple[Waits, ...] = ()
    """Of `requests`, for pooled connections and permits: what was waited for longest first; at most 20."""
    disk_waits: tuple[Waits, ...] = ()
    """The same for the disk."""
    threads: tuple[TargetThread, ...] = ()
    """Of all its processes, by process and number; at most 1,024. Empty where they are not read."""
    memory: MemoryState = MemoryState()
    gc_runs: GcRuns = GcRuns()


class ProbeStatus(msgspec.Struct, frozen=True):
    """What became of one probe in a session."""

    name: str
    status: Literal["running", "limited", "unavailable"]
    reason: str | None = None
    lost: str | None = None
    """What is not known without it."""
    remedy: str | None = None
    period_s: float | None = None


class TargetInfo(msgspec.Struct, frozen=True):
    """One of several processes that are watched in one session; fields as in `SessionInfo`."""

    pid: int
    command: str
    python: str | None
    server: str | None
    inner_pid: int | None = None
    container: Container | None = None

    @property
    def named(self) -> str:
        """`gunicorn (pid 4312)`."""
        return f"{self.server} (pid {self.pid})" if self.server else f"pid {self.pid}"


class SessionInfo(msgspec.Struct, frozen=True):
    """What a session says of itself: host, target, settings. Untrusted once it was read from a file."""

    perfwatch_version: str
    started_unix_ns: int
    started_ns: int
    """The same moment on the monotonic clock: what turns `at_ns` into a date."""
    pid: int
    command: str
    """The target's command line, cut at 500 characters; secrets that follow names such as --password are blanked."""
    python: str | None
    """`3.11.7`; None where it could not be told."""
    server: str | None
    """`gunicorn`, `uvicorn`, ...: by the command line; None where unknown."""
    listeners: tuple[str, ...]
    fidelity: Literal["exact", "sampled"]
    slow_ms: float | None
    """None: 3 times the endpoint's median or 500 ms, at least 20 ms."""
    hostname: str
    kernel: str
    machine: str
    cpus: int
    memory_bytes: int
    probes: tuple[ProbeStatus, ...]
    inner_pid: int | None = None
    """`pid` in its own PID namespace, where that is another: inside its container."""
    targets: tuple[TargetInfo, ...] = ()
    """All that are watched, the first as above; empty where it is the only one."""
    container: Container | None = None
    """What the target runs in, where that could be told."""
    previous: str | None = None
    """Of a segment of a longer recording: the file that ended where this one begins."""
    clocks: tuple[ClockReading, ...] = ()
    """In order of time: how the wall clock stood from then on, where it was set or slewed, or the host suspended."""

    def unix_s(self, at_ns: int) -> float:
        """Turn a monotonic time of this session into Unix seconds."""
        return self.unix_ns(at_ns) / 1e9

    def unix_ns(self, at_ns: int) -> int:
        """Turn it into Unix nanoseconds."""
        place = bisect_right(self.clocks, at_ns, key=_at_ns)
        if place == 0:
            return self.started_unix_ns + at_ns - self.started_ns
        clock = self.clocks[place - 1]
        return clock.unix_ns + at_ns - clock.at_ns

    def at_ns(self, unix_s: float) -> int:
        """Inverse of `unix_s`: of several moments that showed this time the last; of none, the one that skipped it."""
        wanted_ns, end_ns = int(unix_s * 1e9), None
        for clock in reversed(self.clocks):
            at_ns = clock.at_ns + wanted_ns - clock.unix_ns
            if at_ns >= clock.at_ns:
                return at_ns if end_ns is None else min(at_ns, end_ns)
            end_ns = clock.at_ns
        at_ns = self.started_ns + wanted_ns - self.started_unix_ns
        return at_ns if end_ns is None else min(at_ns, end_ns)

    def with_clocks(self, clocks: Iterable[ClockReading]) -> SessionInfo:
        """Return it with further readings of the clocks; of very many the first."""
        told = {clock.at_ns: clock for clock in (*self.clocks, *clocks)}
        return msgspec.structs.replace(self, clocks=tuple(told[at_ns] for at_ns in sorted(told)[:MAX_CLOCKS]))


def unknown_info() -> SessionInfo:
    """Return what stands for a session that cannot say what it is; but for `clocks`, its times count from 1970."""
    return SessionInfo(
        perfwatch_version="?",
        started_unix_ns=0,
        started_ns=0,
        pid=0,
        command="unknown: lost to damage",
        python=None,
        server=None,
        listeners=(),
        fidelity="exact",
        slow_ms=None,
        hostname="?",
        kernel="?",
        machine="?",
        cpus=1,
        memory_bytes=0,
        probes=(),
    )


MAX_CLOCKS: Final = 10_000
"""Readings of the clocks that a session keeps at hand."""
_at_ns: Final = attrgetter("at_ns")
