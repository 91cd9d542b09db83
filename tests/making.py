"""Hand-made records and sessions: short where a test does not care, exact where it does. Times in milliseconds."""

from __future__ import annotations

from perfwatch.agent.model import BUCKETS, Bucket, SessionInfo
from perfwatch.probes.frames import Frame, StackTable
from perfwatch.probes.records import HostSample, InFlight, OpenRequest, Peer, Ran, ServedRequest, Wait, Waker

MS = 1_000_000
SECOND = 1_000_000_000
START = 1_000 * SECOND


def info(**changes) -> SessionInfo:
    fields = {
        "perfwatch_version": "0.1.0",
        "started_unix_ns": 1_790_000_000 * SECOND,
        "started_ns": START,
        "pid": 4312,
        "command": "gunicorn shop.wsgi",
        "python": "3.12.1",
        "server": "gunicorn",
        "listeners": ("127.0.0.1:8000",),
        "fidelity": "exact",
        "slow_ms": None,
        "hostname": "web-1",
        "kernel": "6.18.0",
        "machine": "x86_64",
        "cpus": 2,
        "memory_bytes": 8 << 30,
        "probes": (),
    }
    return SessionInfo(**(fields | changes))


def booked(**spent_ms: float) -> tuple[int, ...]:
    return tuple(round(spent_ms.get(bucket, 0) * MS) for bucket in BUCKETS)


def served(request_id: int, at_ms: float = 0.0, *, ms: float | None = None, **fields) -> ServedRequest:
    """A request that ended `at_ms` after the start; buckets by name, the rest are fields of the record.

    Its latency is the sum of its buckets unless `ms` says otherwise.
    """
    spent = {bucket: fields.pop(bucket) for bucket in BUCKETS if bucket in fields}
    total = sum(spent.values()) if ms is None else ms
    if ms is not None and not spent:
        spent = {"on_cpu": ms}
    ended_ns = START + round(at_ms * MS)
    arrived_ns = ended_ns - round(total * MS)
    made = {
        "at_ns": ended_ns,
        "id": request_id,
        "connection": request_id,
        "pid": 4313,
        "tid": 4313,
        "arrived_ns": arrived_ns,
        "started_ns": arrived_ns + round(spent.get("queue", 0) * MS),
        "ended_ns": ended_ns,
        "method": "GET",
        "target": "/",
        "status": 200,
        "booked_ns": booked(**spent),
        "peers": (),
        "waits": (),
        "received_bytes": 100,
        "sent_bytes": 1000,
        "local": "127.0.0.1:8000",
        "remote": "127.0.0.1:50000",
        "outcome": "answered",
        "threads": "one",
    }
    return ServedRequest(**(made | fields))


def wait(bucket: Bucket, ms: float, *, waker: Waker | None = None, **fields) -> Wait:
    made = {
        "started_ns": START,
        "blocked_ns": round(ms * MS),
        "runnable_ns": 0,
        "bucket": bucket,
        "call": "futex",
        "detail": None,
        "peer": None,
        "waker": waker,
    }
    return Wait(**(made | fields))


def waker(request: int | None = None, tid: int = 4321, name: str = "worker-3") -> Waker:
    return Waker(pid=4313, tid=tid, name=name, request=request)


def peer(address: str, ms: float, waits: int = 1) -> Peer:
    return Peer(address, round(ms * MS), waits)


def opened(request_id: int, age_ms: float, at_ms: float, state: Bucket = "lock", **fields) -> OpenRequest:
    """A request that is `age_ms` old at `at_ms` and was in `state` all the time."""
    started_ns = START + round((at_ms - age_ms) * MS)
    made = {
        "id": request_id,
        "pid": 4313,
        "tid": 4320 + request_id,
        "arrived_ns": started_ns,
        "started_ns": started_ns,
        "method": "GET",
        "target": "/stuck",
        "booked_ns": booked(**{state: age_ms}),
        "state": state,
        "state_since_ns": started_ns,
        "call": "futex",
        "detail": None,
        "peer": None,
        "local": "127.0.0.1:8000",
    }
    return OpenRequest(**(made | fields))


def in_flight(at_ms: float, *requests: OpenRequest, count: int | None = None) -> InFlight:
    return InFlight(START + round(at_ms * MS), len(requests) if count is None else count, requests)


def host(at_ms: float, busy_ms: float, idle_ms: float, runnable: int = 1) -> HostSample:
    """Cumulative totals."""
    return HostSample(
        at_ns=START + round(at_ms * MS),
        cpu_busy_ns=round(busy_ms * MS),
        cpu_idle_ns=round(idle_ms * MS),
        cpu_steal_ns=0,
        runnable=runnable,
        memory_total_bytes=8 << 30,
        memory_available_bytes=6 << 30,
    )


def full_host(at_ms: float = 0.0) -> tuple[HostSample, HostSample]:
    """Two samples of a host whose two CPUs are 99 % busy."""
    return host(at_ms - 1000, 0, 0, 11), host(at_ms, 1980, 20, 11)


def stacks(*stacks: tuple[Frame, ...]) -> StackTable:
    """A table of these stacks, in this order."""
    frames = tuple(dict.fromkeys(frame for stack in stacks for frame in stack))
    return StackTable(frames, tuple(tuple(frames.index(frame) for frame in stack) for stack in stacks))


def ran(*readings: tuple[float, int]) -> tuple[Ran, ...]:
    """Moments (after the start) at which a thread was found on a CPU, each with the place of its stack."""
    return tuple(Ran(START + round(at_ms * MS), stack) for at_ms, stack in readings)
