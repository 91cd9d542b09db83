"""The shape of a report: what `report --json` writes, field by field (schema `perfwatch.report/1`).

Keys are only ever added. Times are Unix seconds, durations as their names say, shares 0..1. A ledger has
one key for each bucket; together with `unaccounted_ms` it adds up to the latency. Strings that came from
the target or its clients are untrusted. What was not measured is null or empty. The queues and resources are in
`report_contract_queues.py`, calls to other processes in `report_contract_calls.py`, the course of time in
`report_contract_timeline.py`, memory in `report_contract_memory.py`.
"""

from __future__ import annotations

from typing import Final

# msgspec reads the annotations when a report is decoded.
from perfwatch.agent.model import (  # noqa: TC001
    Bucket,
    Cause,
    Container,
    Downstream,
    Evidence,
    Latency,
    Mechanism,
    Principle,
    WhatIf,
)
from perfwatch.agent.report_contract_calls import Call, Culprit  # noqa: TC001
from perfwatch.agent.report_contract_memory import Memory  # noqa: TC001
from perfwatch.agent.report_contract_queues import Cost, Queues, Saturation, Slowed, Struct
from perfwatch.agent.report_contract_timeline import Moment  # noqa: TC001

SCHEMA: Final = "perfwatch.report/1"


class Host(Struct, frozen=True):
    """The machine."""

    hostname: str
    kernel: str
    machine: str
    cpus: int
    memory_bytes: int


class Probe(Struct, frozen=True):
    """What became of one probe; `records` is null where they were not counted, `lost` counts events."""

    name: str
    status: str
    """`running`; or `limited`, `unavailable`: `reason` says why, `missing` what is not known, `remedy` what helps."""
    reason: str | None
    records: int | None
    lost: int
    missing: str | None
    remedy: str | None
    period_s: float | None
    """Time between its readings, as it was meant to be."""


class Target(Struct, frozen=True):
    """One of several processes that were watched."""

    pid: int
    python: str | None
    command: str
    server: str | None
    container: Container | None


class PeerProcess(Struct, frozen=True):
    """A process of this host that listens where a process of the target called."""

    seen_by: int
    """PID of the process that called: an address means something only in a network namespace."""
    address: str
    pid: int
    name: str
    is_target: bool
    """It is watched too."""


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
    cost: Cost | None
    slowed: list[Slowed]
    peers: list[PeerProcess]
    """The processes of this host that were called, as each caller sees them."""
    targets: list[Target]
    """All that were watched, where there were several; else empty."""
    container: Container | None
    """Of the first that was watched; null where it is in none, or that could not be told."""


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
    """A place in the code, and its share of the latency; of a request in flight: the innermost first."""

    function: str
    file: str
    line: int
    """0 where it is not known."""
    share: float
    """In flight: of the age, while it stood there; 0 where only the moment is known."""
    called: str | None = None
    """What it was in the midst of calling; null where it did the work itself."""


class ChainLink(Struct, frozen=True):
    """One step of a chain of blame: who held what the one before waited for, and what it did meanwhile.

    Function, file and line: where in its code it held that; null where that is not known.
    """

    kind: str
    """`request`, `thread`, `task`, `process`, `peer`, `device`."""
    name: str
    mechanism: Mechanism | None
    """Why it held that for so long; null where that is not known, or the chain ends."""
    share: float
    """Of the latency at the beginning of the chain."""
    text: str
    """The same as a short sentence."""
    function: str | None = None
    file: str | None = None
    line: int | None = None
    request: int | None = None
    pid: int | None = None
    tid: int | None = None


class Waiting(Struct, frozen=True):
    """A deadlock: each of its members waits for the next, the last for the first."""

    since: float
    """When the last of them began to wait."""
    members: list[ChainLink]
    summary: str


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
    """Of its endpoint, predicted, if the mechanism were gone; null where nothing is predicted."""
    causes: tuple[Cause, ...] = ()
    """The mechanisms that explain at least 5 %, the one that is blamed first."""
    chain: tuple[ChainLink, ...] = ()
    """Who held what was waited for, who held that, and so on to the end; empty where nobody held anything."""


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
    downstream: list[Downstream]
    """Calls of all its requests, by peer and operation; what took longest first, at most 20."""
    service: int | None = None
    """PID of the target that serves it; null where one is watched."""
    normal_count: int = 0
    """Requests that were not slow; 0 where it is always slow."""
    normal_ledger_ms: dict[Bucket, float] | None = None
    """Their mean ledger; null where there are none, as is `normal_unaccounted_ms`."""
    normal_unaccounted_ms: float | None = None
    what_if: tuple[WhatIf, ...] = ()
    """What its p50 and p95 would be, predicted, without each mechanism that makes it slow."""
    causes: tuple[Cause, ...] = ()
    """As in `Judgement`; so is `chain`: that which most of the time goes along, its shares those of the mean."""
    chain: tuple[ChainLink, ...] = ()


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
    throttled_ms: float
    threads: str
    """`followed`: it goes through an event loop or from thread to thread, and the ledger is its own all the same;
    `shared`, `several`: only its queue is booked."""


class Blocker(Struct, frozen=True):
    """A thread that ended waits of a request, and their share of the latency; `run_queue`: that had the CPU before.

    Function, file and line: where in its code it ended most of that time; null where that is not known.
    """

    kind: Bucket
    pid: int
    tid: int
    thread: str
    request: int | None
    function: str | None
    file: str | None
    line: int | None
    share: float


class CalleeReport(Struct, frozen=True):
    """What a call of a request was at its other end: a request of another watched service."""

    call: int
    """Place among the calls of the request."""
    request: int
    """Its id; `slow_requests` has it too, unless it was left out."""
    pid: int
    process: str
    method: str
    route: str
    duration_ms: float
    ledger_ms: dict[Bucket, float]
    unaccounted_ms: float
    principle: Principle
    mechanism: Mechanism | None
    share: float
    confidence: float
    summary: str


class RecordedVerdict(Struct, frozen=True):
    """What was said of a request while it was recorded: by the rules of the perfwatch that recorded it."""

    principle: str
    """Also of another version's."""
    mechanism: str | None
    share: float
    confidence: float
    summary: str


class RequestReport(Struct, frozen=True):
    """One judged request.

    `slow` is false for the usual ones of an endpoint that is always slow, and for those that a judged one made.
    """

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
    throttled_ms: float
    """Of the run queue: its cgroup had used up its CPU quota."""
    fidelity: str
    """`sampled`: the ledger is an estimate."""
    threads: str
    """As in `OpenReport`; `unmatched`: it is not known which thread served it."""
    calls: list[Call]
    """In the order in which they were started. Of very many in one report only the slowest requests keep theirs."""
    call_count: int
    """All that it made, with those that are not listed."""
    culprits: list[Culprit]
    """Who kept its event loop, the longest first; at most 8."""
    service: int | None = None
    """PID of the target that served it; null where one is watched."""
    callees: tuple[CalleeReport, ...] = ()
    """In the order of its calls; those that were followed into a service that is watched too."""
    caller: int | None = None
    """Id of the judged request that made this one; null where that is not known."""
    recorded: RecordedVerdict | None = None
    """Null where none was recorded. The other verdicts are made anew from the records, by the rules of today."""
    causes: tuple[Cause, ...] = ()
    """As in `Judgement`; so is `chain`."""
    chain: tuple[ChainLink, ...] = ()
    protocol: str = "http/1"
    """`http/1`, `http/2`, `grpc`; `tls`: within it, the records were seen."""
    grpc_status: int | None = None
    """0: OK; any other is an error. Null: it is no gRPC, or was not seen."""


class OpportunityReport(Struct, frozen=True):
    """Something that would make requests cheaper, and is not why they are slow."""

    kind: str
    """`cache`, `static`, `compress`, `reuse-connections`, `resume-tls`, `overlap-calls` or `retries`."""
    method: str
    """`*`, and so is the route: it concerns all endpoints."""
    route: str
    """As it is shown: of one of several services with its PID."""
    text: str
    saves_ms: float | None
    """For each of these requests, on average; null where that cannot be told."""
    count: int
    """Requests that it concerns."""
    evidence: list[Evidence]
    advice: list[str]


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
    downstream: list[Downstream]
    """Calls of all requests, by peer and operation; what took longest first, at most 20."""
    opportunities: list[OpportunityReport]
    """What saves most in all first; at most 20."""
    deadlocks: tuple[Waiting, ...] = ()
    """Those that hung at the end."""
    timeline: tuple[Moment, ...] = ()
    """The whole recording, at most 480 stretches of one length; empty where it was not recorded."""
    memory: Memory | None = None
    """Null in a report of an older perfwatch."""
