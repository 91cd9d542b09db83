"""The raw records that probes yield: what was measured, when, in which unit, and nothing that was concluded.

Times are nanoseconds of CLOCK_MONOTONIC (the kernel's `ktime_get_ns`); `at_ns` is when the record was made, and a
stream is ordered by it. Counters are raw and cumulative: rates are made of two records, by whoever needs them.
Absent is None, never 0. Strings that came from the target or its clients are untrusted: they are kept as they were
sent (undecodable bytes as U+FFFD, cut at `MAX_TARGET_CHARS`) and must be escaped where they are shown.

The records travel as msgpack arrays (see `encode` and `decode`): fields are only ever added, at the end, with a
default.

What comes by the thousand, and is kept by the thousand, is `gc=False`: nothing in it can refer back to it, so Python's
collector need not walk it.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

from perfwatch.probes.frames import Frame, GcPause, PythonSample, Span, StackTable, TasksSample, ThreadStacks
from perfwatch.probes.samples import (
    CgroupSample,
    ClockReading,
    CollectorSample,
    Connection,
    CpuSample,
    DiskLatency,
    DiskSample,
    DiskUsers,
    MemorySample,
    NetworkSample,
    PressureSample,
    ProcessIo,
    ProcessMemory,
    RateChange,
    SocketsSample,
    TargetFiles,
    ThreadsSample,
    ThreadTime,
)

Bucket: TypeAlias = Literal[
    "queue",
    "on_cpu",
    "gil",
    "lock",
    "loop",
    "run_queue",
    "disk",
    "fault",
    "calls",
    "sleep",
    "receive",
    "send",
    "child",
    "other",
]
"""Where a request's time can go; disjoint. In the order in which ledgers are stored and shown."""

BUCKETS: Final[tuple[Bucket, ...]] = get_args(Bucket)
MAX_TARGET_CHARS: Final = 256


Threads: TypeAlias = Literal["one", "shared", "several", "unmatched", "followed"]
"""`one`: one thread served the request and nothing else meanwhile: the ledger is its thread's. `followed`: it went
through an event loop, or from thread to thread, and the ledger is the request's own all the same. `shared`: its thread
served other requests meanwhile (an event loop); `several`: another thread answered; `unmatched`: sampling could not
tell which thread served it. But for `one` and `followed` only `queue` is booked."""

Protocol: TypeAlias = Literal[
    "http/1",
    "http/2",
    "grpc",
    "tls",
    "dns",
    "postgresql",
    "mysql",
    "redis",
    "mongodb",
    "memcached",
    "kafka",
    "amqp",
    "nats",
    "unknown",
]
"""`tls`: encrypted, and what is spoken inside is not known."""
Body: TypeAlias = Literal["text", "compressed", "other"]
"""`text`: of a type that compresses well, and sent as it is; `other`: images, archives and whatever else does not."""
MAX_CALLS: Final = 256
"""So many calls of one request are kept one by one; those after them are counted (`calls_lost`)."""
MAX_OPERATION_CHARS: Final = 200


class Peer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Time that a request waited for one other process, over all its calls to it."""

    address: str
    """`10.0.0.5:5432`, `[::1]:53` or `unix:/run/x.sock`; `unix:?` where the peer's socket has no name."""
    wait_ns: int
    waits: int


class Waker(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The thread that ended a wait. None stands for it where an interrupt did: then nobody is to be named."""

    pid: int
    tid: int
    name: str
    """The thread's name in the kernel, at most 15 characters; untrusted."""
    request: int | None
    """Id of the request that the waker was serving at that moment. None: it served none, or it was not known yet which:
    of some workers that shows when they answer."""


class Wait(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One stretch of at least 1 ms, inside a request, in which its thread did not run."""

    started_ns: int
    blocked_ns: int
    """Until it was woken; 0 for a thread that was preempted."""
    runnable_ns: int
    """From the wake-up (or the preemption) until it ran: run queue."""
    bucket: Bucket
    """What `blocked_ns` is booked to; `run_queue` for a preemption. `loop`: others kept the event loop, and `waker`
    names the request that did so longest."""
    call: str | None
    """The system call it waited in (`futex`); None outside of one (a page fault)."""
    detail: str | None
    """`other`: the kernel function it slept in, or `suspended`: its coroutine waited, and nothing that can be seen from
    outside says for what. `lock`: the futex address in hex. Else None."""
    peer: str | None
    """`calls`: whom it waited for; the format of `Peer.address`."""
    waker: Waker | None
    throttled_ns: int = 0
    """Of `runnable_ns`: its cgroup had used up its CPU quota."""
    ahead: Waker | None = None
    """The thread that had the CPU right before it got it; of several that stood in line, the last. None where it was
    idle, or not seen."""
    stack: int | None = None
    """Where in its code it waited: place in the request's `code`."""
    waker_stack: int | None = None
    """Where in its code the waker was when it ended the wait; None also where that runs no known Python."""


CONNECTION_ONLY: Final = "(connection only)"
"""Stands for what was asked where a connection was made, and used later, or by another request."""


class Call(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One exchange with another process, made for a request: what was sent, and the answer to it.

    Its stretches lie one after the other: connecting (to `connected_ns`), TLS (to `secured_ns`), sending, waiting (from
    `sent_ns` to `answered_ns`), transfer (to `ended_ns`).
    """

    started_ns: int
    """When `connect` began; on a connection that stood, when the first byte was handed to the kernel."""
    connected_ns: int | None
    """When its connection stood; None where that stood before."""
    secured_ns: int | None
    """When the TLS handshake was over; None where there was none, or it is not known."""
    sent_ns: int | None
    """When the last byte of what was asked was handed to the kernel; None where nothing was: it only connected."""
    answered_ns: int | None
    """When the first byte of the answer could be read from the socket; None where none came."""
    ended_ns: int
    """When the last byte of the answer was read; where none came, when that was given up or last looked at."""
    peer: str
    """The format of `Peer.address`."""
    local: str
    """Its own end: what the peer sees as `ServedRequest.remote`."""
    connection: int
    """The same number for all calls on one connection."""
    tid: int
    """The thread that sent it."""
    protocol: Protocol
    operation: str | None
    """`SELECT * FROM t WHERE id = ?`, `GET /items/{}`, `HGET ?`: without literals; untrusted. None where not known.

    `(connection only)`: it was made, and used later or by another request.
    """
    sent_bytes: int
    received_bytes: int
    kind: Literal["call", "publish"] = "call"
    """`publish`: handed to a queue or topic; nobody waits for an answer, but for the broker's word that it has it."""
    outcome: Literal["answered", "unanswered", "failed"] = "answered"
    """`failed`: the connection was refused, reset or closed before an answer; `unanswered`: it went on without one."""
    stack: int | None = None
    """Where in its code it was made: place in the request's `code`."""
    read_ns: int | None = None
    """When a thread first read of the answer: what lies between `answered_ns` and it, its own process was late."""
    conflict: bool = False
    """Its answer says that it came into conflict with another, or shall be tried again: HTTP 409, 412, 425, 429 and
    503, PostgreSQL's SQLSTATE 40..., MySQL's 1205 and 1213, a transaction of Redis that was not executed."""


class Culprit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Another request (or none) that kept the event loop while this one could have run."""

    request: int | None
    """Its id; None: the loop's own work, such as accepting connections, or a task that serves no request."""
    method: str | None
    target: str | None
    """Path without the query string; None where it is not known."""
    held_ns: int
    """How much of this request's `loop` it was."""
    pid: int
    tid: int


class Ran(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A moment at which a request's thread was found on a CPU: readings at even distances of CPU time."""

    at_ns: int
    stack: int
    """Place in the request's `code`."""


class ServedRequest(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="request"):
    """One request, as the kernel booked it. A record with an id that was seen before replaces the earlier one.

    A request is closed provisionally after 100 ms without activity; where more follows (a streamed response), a
    corrected record with the same id follows too.
    """

    at_ns: int
    id: int
    connection: int
    pid: int
    tid: int
    arrived_ns: int | None
    """When its first byte could be read from the socket; None where that was not seen: it came before the attaching."""
    started_ns: int
    """When a thread first read of it."""
    ended_ns: int
    """When the last byte of the response was handed to the kernel; of an aborted request: when it ended."""
    method: str | None
    target: str | None
    """Path without the query string; None where it was not seen: within TLS, or behind others in one read."""
    status: int | None
    booked_ns: tuple[int, ...]
    """One figure for each of `BUCKETS`, each measured; what they leave open of the latency is unaccounted."""
    peers: tuple[Peer, ...]
    waits: tuple[Wait, ...]
    """In order of time; only those that lie inside the request."""
    received_bytes: int
    sent_bytes: int
    local: str
    """The listening address, as in `Peer.address`."""
    remote: str
    outcome: Literal["answered", "aborted", "died"]
    """`aborted`: its connection was closed without an answer, or before all of it was sent; `died`: its thread or
    process ended first."""
    threads: Threads
    waits_lost: int = 0
    throttled_ns: int = 0
    """Of `run_queue`: its cgroup had used up its CPU quota."""
    fidelity: Literal["exact", "sampled"] = "exact"
    """`sampled`: the ledger is made of thread states at 100 Hz, and its thread was inferred."""
    gc_ns: int = 0
    """Of `on_cpu`: its thread ran the garbage collector."""
    code: StackTable = StackTable()
    """The stacks of its waits, and of the moments at which its thread was found on a CPU."""
    ran: tuple[Ran, ...] = ()
    """In order of time."""
    calls: tuple[Call, ...] = ()
    """In the order in which they were started."""
    calls_lost: int = 0
    culprits: tuple[Culprit, ...] = ()
    """Who kept the loop, the longest first, at most 8; what `loop` holds beyond them were many short stretches."""
    protocol: Protocol = "http/1"
    """What its connection speaks."""
    grpc_status: int | None = None
    """gRPC's own status, at the end of its answer; 0: all is well. None: it is no gRPC, or was not seen."""
    asked: int | None = None
    """The same for requests of one run of the recorder that asked for the very same, the query string included: a hash
    with a secret of that run, which is kept nowhere. None where the request line was not seen to its end."""
    body: Body | None = None
    """What the head of a large answer (8 kB or more) says of its body; None: it is small, or that was not seen."""


class ThreadWait(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="thread_wait"):
    """One wait of at least 1 ms of a thread that serves no request, but kept one waiting at a lock not long ago.

    Its waits are told from then on, until for 10 s nobody waited for it; so are those of the threads that it waits for.
    """

    at_ns: int
    pid: int
    tid: int
    wait: Wait
    """Without its own stack; that of its waker is in `code`."""
    code: StackTable = StackTable()


class OpenRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request that has not ended."""

    id: int
    pid: int
    tid: int
    arrived_ns: int | None
    started_ns: int
    method: str | None
    target: str | None
    booked_ns: tuple[int, ...]
    """So far, with the present state booked up to `at_ns` of the record."""
    state: Bucket
    """What its thread does at this moment."""
    state_since_ns: int
    call: str | None
    detail: str | None
    peer: str | None
    local: str
    threads: Threads = "one"
    throttled_ns: int = 0
    gc_ns: int = 0
    stack: tuple[Frame, ...] = ()
    """What its thread executes at this moment, the innermost frame first; empty where that is not known."""
    remote: str = ""
    """As in `ServedRequest`; empty where it is not known."""


class InFlight(msgspec.Struct, frozen=True, array_like=True, tag="in_flight"):
    """The requests that are open at one moment, oldest first."""

    at_ns: int
    count: int
    requests: tuple[OpenRequest, ...]
    """At most the 64 oldest."""


class HostSample(msgspec.Struct, frozen=True, array_like=True, tag="host"):
    """The host's totals, once a second (psutil over /proc/stat and /proc/meminfo). Also the stream's heartbeat."""

    at_ns: int
    cpu_busy_ns: int
    """Cumulative, all CPUs: user + nice + system + irq + softirq + steal."""
    cpu_idle_ns: int
    """Cumulative: idle + iowait."""
    cpu_steal_ns: int
    runnable: int
    """Threads that run or could run (`procs_running`), the reader itself left out."""
    memory_total_bytes: int
    memory_available_bytes: int


class ProcessSample(msgspec.Struct, frozen=True, array_like=True, tag="process"):
    """One process's own totals, once a second."""

    at_ns: int
    pid: int
    role: Literal["target", "perfwatch"]
    cpu_ns: int
    """Cumulative user + system time."""
    rss_bytes: int
    threads: int
    open_files: int | None = None
    open_files_limit: int | None = None


class ListenerSample(msgspec.Struct, frozen=True, array_like=True, tag="listener"):
    """A listening socket of the target, read from the kernel when something changed, at most once a second."""

    at_ns: int
    address: str
    backlog: int
    """Deepest accept queue since the last sample."""
    backlog_max: int
    """What the queue can hold before connections are dropped."""
    recv_q_bytes: int | None = None
    """Most that any read of one of its connections found waiting, since the last sample."""


class TargetChange(msgspec.Struct, frozen=True, array_like=True, tag="target"):
    """Something happened to the process tree that is watched."""

    at_ns: int
    pid: int
    change: Literal["attached", "forked", "executed", "exited", "gone"]
    """`gone`: the last process of the tree has ended."""
    detail: str


class TreeMember(msgspec.Struct, frozen=True, array_like=True, tag="member"):
    """A process belongs to the tree of one of the targets; told only where several are watched."""

    at_ns: int
    pid: int
    target: int
    """PID of the target, as it was named."""


class PeerProcess(msgspec.Struct, frozen=True, array_like=True, tag="peer"):
    """Who listens on an address that a process of the target called: a process of this host."""

    at_ns: int
    seen_by: int
    """PID of the process that called it: an address means something only in a network namespace."""
    address: str
    """The format of `Peer.address`."""
    pid: int
    """Of a server that forks its workers, the one that they come from."""
    name: str
    """In the kernel, at most 15 characters; untrusted."""
    is_target: bool
    """It is watched too."""


class Loss(msgspec.Struct, frozen=True, array_like=True, tag="loss"):
    """Events that a probe could not deliver since its last record of this kind."""

    at_ns: int
    probe: str
    lost: int
    reason: str


Record: TypeAlias = (
    ServedRequest
    | InFlight
    | HostSample
    | ProcessSample
    | ListenerSample
    | TargetChange
    | Loss
    | CpuSample
    | PressureSample
    | CgroupSample
    | MemorySample
    | ProcessMemory
    | DiskSample
    | DiskLatency
    | DiskUsers
    | TargetFiles
    | ProcessIo
    | SocketsSample
    | NetworkSample
    | Connection
    | ThreadsSample
    | ThreadTime
    | ClockReading
    | CollectorSample
    | RateChange
    | ThreadStacks
    | PythonSample
    | GcPause
    | Span
    | TasksSample
    | TreeMember
    | PeerProcess
    | ThreadWait
)


def encode(record: Record) -> bytes:
    """Return the record as one msgpack array, its tag first."""
    return _encoder.encode(record)


def decode(data: bytes) -> Record:
    """Inverse of `encode`; raises `msgspec.DecodeError` (a ValidationError is one) for anything else."""
    record: Record = _decoder.decode(data)
    return record


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(Record)
