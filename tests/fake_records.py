"""Plausible records without a kernel, from a seeded generator.

A gunicorn with four workers is imitated: `POST /order` waits for a lock, then asks postgres for each of its items,
`GET /search` burns CPU, `GET /item/N` is quick, and from the eighth second on one `GET /report` hangs.
The same arguments give the same records, byte for byte.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec

from perfwatch.agent.model import BUCKETS, Bucket, OpenRequest, ProbeStatus, Record, SessionInfo
from perfwatch.probes import records as raw

if TYPE_CHECKING:
    from collections.abc import Sequence


SECOND = 1_000_000_000
MS = 1_000_000
START_NS = 5_000 * SECOND
START_UNIX_NS = 1_790_000_000 * SECOND
PID = 4312
POSTGRES = "10.0.0.5:5432"
LISTENER = "0.0.0.0:8000"


def session_info(**changes: object) -> SessionInfo:
    """What the imitated session says of itself."""
    fields: dict[str, object] = {
        "perfwatch_version": "0.1.0",
        "started_unix_ns": START_UNIX_NS,
        "started_ns": START_NS,
        "pid": PID,
        "command": "gunicorn shop.wsgi --threads 4 --workers 4 -b :8000",
        "python": "3.12.4",
        "server": "gunicorn",
        "listeners": (LISTENER,),
        "fidelity": "exact",
        "slow_ms": None,
        "hostname": "web-1",
        "kernel": "6.18.5",
        "machine": "x86_64",
        "cpus": 2,
        "memory_bytes": 8 << 30,
        "probes": (ProbeStatus("ledger", "running"), ProbeStatus("host", "running")),
    }
    return SessionInfo(**(fields | changes))  # type: ignore[arg-type]


def booked(**parts: int) -> tuple[int, ...]:
    """A ledger's figures by bucket name."""
    return tuple(parts.get(bucket, 0) for bucket in BUCKETS)


def generate(seconds: int = 30, *, seed: int = 1, rate: int = 20, hang: bool = True) -> tuple[Record, ...]:
    """All records of so many seconds, ordered by `at_ns`."""
    chance = random.Random(seed)
    out: list[Record] = [raw.TargetChange(START_NS, PID, "attached", "4 workers")]
    for number in range(seconds * rate):
        at = START_NS + number * SECOND // rate + chance.randrange(20 * MS)
        out.append(_request(chance, number + 1, at))
    for second in range(seconds):
        out.extend(_samples(chance, second))
        out.extend(_in_flight(chance, second, hang=hang))
    return tuple(sorted(out, key=lambda record: record.at_ns))


def _request(chance: random.Random, number: int, at: int) -> raw.ServedRequest:
    kind = chance.random()
    if kind < 0.12:
        return _order(chance, number, at)
    if kind < 0.3:
        return _served(chance, number, at, ("GET", "/search"), [("on_cpu", chance.randrange(60, 180) * MS)])
    stretches: list[tuple[Bucket, int]] = [("on_cpu", chance.randrange(2 * MS)), ("calls", 2 * MS)]
    return _served(chance, number, at, ("GET", f"/item/{chance.randrange(1000)}"), stretches)


def _order(chance: random.Random, number: int, at: int) -> raw.ServedRequest:
    stretches: list[tuple[Bucket, int]] = [
        ("on_cpu", chance.randrange(8, 16) * MS),
        ("lock", chance.randrange(250, 420) * MS),
        ("run_queue", chance.randrange(1, 4) * MS),
        ("calls", chance.randrange(50, 90) * MS),
        ("on_cpu", 6 * MS),
    ]
    record = _served(chance, number, at, ("POST", f"/order/{8000 + number}"), stretches)
    return msgspec.structs.replace(record, calls=order_calls(record))


ITEMS = 12
SELECT = "SELECT name, price FROM items WHERE id = ?"
INSERT = "INSERT INTO orders (user_id, total) VALUES (?, ?)"


def order_calls(record: raw.ServedRequest) -> tuple[raw.Call, ...]:
    """What an order asks postgres for: each of its items, then to keep it; every third on a new connection."""
    [wait] = (wait for wait in record.waits if wait.bucket == "calls")
    opening = wait.blocked_ns // 5 if record.id % 3 == 0 else 0
    each = (wait.blocked_ns - opening) // (ITEMS + 8)
    calls = []
    cursor = wait.started_ns
    for number in range(ITEMS):
        first = opening if number == 0 else 0
        calls.append(_call(record, cursor, (first, each), SELECT))
        cursor += first + each
    return (*calls, _call(record, cursor, (0, wait.started_ns + wait.blocked_ns - cursor), INSERT))


def _call(record: raw.ServedRequest, start: int, lengths: tuple[int, int], operation: str) -> raw.Call:
    opening, length = lengths
    sent = start + opening + length // 50
    return raw.Call(
        started_ns=start,
        connected_ns=start + opening // 4 if opening else None,
        secured_ns=start + opening if opening else None,
        sent_ns=sent,
        answered_ns=sent + length * 4 // 5,
        ended_ns=start + opening + length,
        peer=POSTGRES,
        local=f"10.0.3.9:{50_000 + record.id % 40}",
        connection=record.id % 40,
        tid=record.tid,
        protocol="postgresql",
        operation=operation,
        sent_bytes=len(operation) + 20,
        received_bytes=380 if operation == SELECT else 24,
        read_ns=sent + length * 4 // 5 + 20_000,
    )


def _served(
    chance: random.Random,
    number: int,
    at: int,
    line: tuple[str, str],
    stretches: Sequence[tuple[Bucket, int]],
) -> raw.ServedRequest:
    """A request made of these stretches, after a short wait in the socket's queue, ended at `at`."""
    queue = chance.randrange(10 * MS)
    started = at - sum(length for _, length in stretches)
    totals: dict[str, int] = {"queue": queue}
    waits: list[raw.Wait] = []
    cursor = started
    for bucket, length in stretches:
        totals[bucket] = totals.get(bucket, 0) + length
        if bucket != "on_cpu":
            waits.append(_wait(bucket, cursor, length))
        cursor += length
    calls = totals.get("calls", 0)
    return raw.ServedRequest(
        at_ns=at,
        id=number,
        connection=number,
        pid=PID + 1 + number % 4,
        tid=PID + 1 + number % 4,
        arrived_ns=started - queue,
        started_ns=started,
        ended_ns=at,
        method=line[0],
        target=line[1],
        status=500 if number % 97 == 0 else 200,
        booked_ns=booked(**totals),
        peers=(raw.Peer(POSTGRES, calls, 1),) if calls else (),
        waits=tuple(waits),
        received_bytes=412,
        sent_bytes=chance.randrange(500, 9000),
        local=LISTENER,
        remote=f"10.0.3.7:{40_000 + number}",
        outcome="answered",
        threads="one",
    )


def _wait(bucket: Bucket, start: int, length: int) -> raw.Wait:
    if bucket == "lock":
        waker = raw.Waker(PID + 9, PID + 9, "refresh-cache", None)
        return raw.Wait(start, length, 0, bucket, "futex", "0x7f3a10", None, waker)
    if bucket == "run_queue":
        return raw.Wait(start, 0, length, bucket, None, None, None, None)
    return raw.Wait(start, length, 0, bucket, "recvfrom", None, POSTGRES, None)


def _samples(chance: random.Random, second: int) -> list[Record]:
    at = START_NS + second * SECOND
    busy = second * SECOND * 2 * 68 // 100
    return [
        raw.HostSample(at, busy, second * SECOND * 2 - busy, 0, chance.randrange(4), 8 << 30, 5 << 30),
        raw.ProcessSample(at, PID, "target", second * SECOND // 50, 60 << 20, 1),
        *(raw.ProcessSample(at, PID + n, "target", second * SECOND // 4, 90 << 20, 5) for n in range(1, 5)),
        raw.ProcessSample(at, 777, "perfwatch", second * SECOND * 9 // 1000, 40 << 20, 2),
        raw.ListenerSample(at, LISTENER, chance.randrange(5), 2048),
    ]


def _in_flight(chance: random.Random, second: int, *, hang: bool) -> list[Record]:
    """Four snapshots a second: the hung request where there is one, and some that are just being served."""
    hung_since = START_NS + 8 * SECOND
    out: list[Record] = []
    for quarter in range(4):
        at = START_NS + second * SECOND + quarter * SECOND // 4 + 1
        open_ = [_open(at, 1_000_001, hung_since, "/report/7", "lock")] if hang and at > hung_since else []
        for number in range(chance.randrange(4)):
            started = at - chance.randrange(1, 90) * MS
            open_.append(_open(at, 2_000_000 + at % 1_000_003 + number, started, "/search", "on_cpu"))
        open_.sort(key=lambda request: request.started_ns)
        out.append(raw.InFlight(at, len(open_), tuple(open_)))
    return out


def _open(at: int, number: int, started: int, target: str, state: Bucket) -> OpenRequest:
    blocked = state != "on_cpu"
    cpu = min(3 * MS, at - started)
    figures = booked(on_cpu=cpu, **{state: at - started - cpu}) if blocked else booked(on_cpu=at - started)
    return OpenRequest(
        id=number,
        pid=PID + 2,
        tid=PID + 2,
        arrived_ns=started,
        started_ns=started,
        method="GET",
        target=target,
        booked_ns=figures,
        state=state,
        state_since_ns=started + cpu if blocked else started,
        call="futex" if blocked else None,
        detail="0x7f3a10" if blocked else None,
        peer=None,
        local=LISTENER,
    )
