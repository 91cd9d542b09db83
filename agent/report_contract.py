"""The shape of a report: what `report --json` writes, field by field (schema `perfwatch.report/1`).

Keys are only ever added. Times are Unix seconds, durations as their names say, shares 0..1. A ledger has
one key for each bucket; together with `unaccounted_ms` it adds up to the latency. Strings that came from
the target or its clients are untrusted. What this version does not measure is null or empty:
`what_if_p95_ms`, `frames`, `function`, `file`, `line`, a socket's `peer`, `recv_q` and `send_q`, `disks`,
`threads`, the saturation of disk and network, `psi`.
"""

from __future__ import annotations

from typing import Final

import msgspec

# msgspec reads the annotations when a report is decoded.
from perfwatch.agent.model import Bucket, Evidence, Latency, Mechanism, Principle  # noqa: TC001

SCHEMA: Final = "perfwatch.report/1"


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON object."""


class Host(Struct, frozen=True):
    """The machine."""

    hostname: str
    kernel: str
    machine: str
    cpus: int
    memory_bytes: int


class Probe(Struct, frozen=True):
    """What became of one probe; `records` is null where they were not counted."""

    name: str
    status: str
    reason: str | None
    records: int | None
    lost: int


class Session(Struct, frozen=True):
    """What was watched, when, and how."""

    pid: int
    python: str | None
    command: str
    fidelity: str
    started_at: float
    duration_s: float
    host: Host
    probes: list[Probe]
    server: str | None
    listeners: list[str]
    perfwatch_version: str
    target_gone: str | None
    """How the target ended; null where it was alive at the end."""


class Requests(Struct, frozen=True):
    """All requests; `slow_threshold_ms` is null where the threshold adapts, `latency_ms` before the first."""

    count: int
    slow_count: int
    slow_threshold_ms: float | None
    throughput_rps: float
    concurrency: float
    errors: int
    latency_ms: Latency | None


class Frame(Struct, frozen=True):
    """A Python function, and its share of the time."""

    function: str
    file: str
    line: int
    share: float


class Judgement(Struct, frozen=True):
    """The verdict on the session."""

    principle: Principle
    mechanism: Mechanism | None
    share: float
    confidence: float
    summary: str
    evidence: list[Evidence]
    advice: list[str]
    what_if_p95_ms: float | None


class EndpointReport(Struct, frozen=True):
    """One method and route; the ledger is the mean of its judged requests, of all where none was judged."""

    method: str
    route: str
    count: int
    slow_count: int
    judged_count: int
    errors: int
    latency_ms: Latency
    principle: Principle
    mechanism: Mechanism | None
    share: float
    confidence: float
    summary: str
    ledger_ms: dict[Bucket, float]
    unaccounted_ms: float
    frames: list[Frame]
    evidence: list[Evidence]
    advice: list[str]


class OpenReport(Struct, frozen=True):
    """A request that had not ended; `state` is what its thread did."""

    start: float
    age_ms: float
    method: str | None
    target: str | None
    pid: int
    tid: int
    state: Bucket
    call: str | None
    peer: str | None
    ledger_ms: dict[Bucket, float]
    frames: list[Frame]


class Blocker(Struct, frozen=True):
    """A thread that ended waits of a request, and the share of the latency that these waits took."""

    kind: Bucket
    pid: int
    tid: int
    thread: str
    request: int | None
    function: str | None
    file: str | None
    line: int | None
    share: float


class RequestReport(Struct, frozen=True):
    """One judged request; `slow` is false for the usual ones of an endpoint that is always slow."""

    id: int
    start: float
    duration_ms: float
    slow: bool
    method: str | None
    target: str | None
    route: str
    status: int | None
    outcome: str
    pid: int
    tid: int
    ledger_ms: dict[Bucket, float]
    unaccounted_ms: float
    principle: Principle
    mechanism: Mechanism | None
    share: float
    confidence: float
    summary: str
    evidence: list[Evidence]
    frames: list[Frame]
    blockers: list[Blocker]


class RunQueue(Struct, frozen=True):
    """Threads of the whole host that ran or could run, on average, and the CPUs they share."""

    runnable_mean: float | None
    cpus: int


class Socket(Struct, frozen=True):
    """A listening socket: its deepest accept queue, and its limit."""

    local: str
    peer: str | None
    recv_q: int | None
    send_q: int | None
    backlog: int
    backlog_max: int


class Queues(Struct, frozen=True):
    """Where something waited."""

    run_queue: RunQueue
    sockets: list[Socket]
    disks: list[str]
    threads: dict[str, int] | None


class Saturation(Struct, frozen=True):
    """How much of the host was used: CPU on average, memory at the end."""

    cpu: float | None
    memory: float | None
    disk: float | None
    network: float | None
    psi: dict[str, float] | None


class Event(Struct, frozen=True):
    """Something that happened to the target or to the recording."""

    at: float
    text: str


class Report(Struct, frozen=True):
    """Everything that a report says."""

    schema: str
    session: Session
    requests: Requests
    verdict: Judgement
    endpoints: list[EndpointReport]
    in_flight: list[OpenReport]
    in_flight_count: int
    slow_requests: list[RequestReport]
    slow_requests_omitted: int
    queues: Queues
    saturation: Saturation
    lost: int
    events: list[Event]
    notes: list[str]
