"""What is made of records: a request with its ledger and verdict, endpoints, and the view that is shown.

All values are frozen. Times are nanoseconds, `*_ms` floats only where something is shown. Units stand in names.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import msgspec

from perfwatch.probes.records import BUCKETS as BUCKETS  # noqa: PLC0414
from perfwatch.probes.records import Bucket as Bucket  # noqa: PLC0414
from perfwatch.probes.records import OpenRequest as OpenRequest  # noqa: PLC0414
from perfwatch.probes.records import Record as Record  # noqa: PLC0414
from perfwatch.probes.records import ServedRequest as ServedRequest  # noqa: PLC0414
from perfwatch.probes.records import Wait as Wait  # noqa: PLC0414

Principle: TypeAlias = Literal["efficiency", "concurrency", "capacity", "healthy", "unknown"]
Mechanism: TypeAlias = Literal[
    "cpu",
    "sleep",
    "gil",
    "lock",
    "queue",
    "run-queue",
    "disk",
    "memory",
    "network",
    "dependency",
]
MECHANISMS: Final[tuple[Mechanism, ...]] = get_args(Mechanism)
PRINCIPLE_OF: Final[dict[Mechanism, Principle]] = {
    "cpu": "efficiency",
    "sleep": "efficiency",
    "gil": "concurrency",
    "lock": "concurrency",
    "queue": "concurrency",
    "run-queue": "capacity",
    "disk": "capacity",
    "memory": "capacity",
    "network": "capacity",
    "dependency": "capacity",
}
MAX_JUDGED: Final = 1000
"""So many judged requests a view holds."""


_PLACE: Final[dict[Bucket, int]] = {bucket: place for place, bucket in enumerate(BUCKETS)}


class Ledger(msgspec.Struct, frozen=True):
    """Where a latency went: `total_ns == sum(booked_ns) + unaccounted_ns`, exactly."""

    total_ns: int
    booked_ns: tuple[int, ...]
    """One figure for each of `BUCKETS`."""

    @property
    def unaccounted_ns(self) -> int:
        """What no bucket explains; shown, never hidden. Negative would mean that time was booked twice."""
        return self.total_ns - sum(self.booked_ns)

    def __getitem__(self, bucket: Bucket) -> int:
        return self.booked_ns[_PLACE[bucket]]

    def share(self, *buckets: Bucket) -> float:
        """Part of the latency that these buckets explain, 0..1."""
        return sum(self[bucket] for bucket in buckets) / self.total_ns if self.total_ns > 0 else 0.0


class Evidence(msgspec.Struct, frozen=True):
    """One fact behind a verdict: a name and a value, for a person and for a program."""

    name: str
    """Snake case, with the unit: `lock_ms`, `peer`, `waker`."""
    value: float | int | str
    text: str
    """The same as a short sentence: `waited 391 ms for a lock, in 1 wait`."""


class Verdict(msgspec.Struct, frozen=True):
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


class Request(msgspec.Struct, frozen=True):
    """A finished request: what was measured, and what was concluded."""

    record: ServedRequest
    route: str
    """The path with its variable parts folded: `/users/{}`."""
    ledger: Ledger
    slow: bool
    verdict: Verdict | None
    """None where the request was not judged: it was not slow."""

    @property
    def endpoint(self) -> tuple[str, str]:
        """Method and route."""
        return (self.record.method or "?", self.route)

    @property
    def failed(self) -> bool:
        """Answered with 5xx, or not answered."""
        return self.record.outcome != "answered" or (self.record.status or 0) >= 500  # noqa: PLR2004


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
    """Processes of the target besides the one that was named; None where that is not known."""
    in_flight_at_ns: int | None = None
    """When `in_flight` was taken: what its ledgers are booked up to; None before the first."""


class ProbeStatus(msgspec.Struct, frozen=True):
    """What became of one probe in a session."""

    name: str
    status: Literal["running", "unavailable"]
    reason: str | None = None


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

    def unix_s(self, at_ns: int) -> float:
        """Turn a monotonic time of this session into Unix seconds."""
        return (self.started_unix_ns + at_ns - self.started_ns) / 1e9
