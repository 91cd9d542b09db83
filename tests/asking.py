"""Hand-made calls of requests to other processes, and who kept their loop. Times in milliseconds after the start."""

from __future__ import annotations

import msgspec
from fake_records import booked, order_calls
from making import MS, START, wait, waker

from perfwatch.agent.correlator.called import Called, timed
from perfwatch.probes.records import Call, Culprit, ServedRequest

POSTGRES = "10.0.0.5:5432"
REDIS = "10.0.0.6:6379"
SELECT = "SELECT * FROM t WHERE id = ?"


def call(at_ms: float, wait: float, *, connect=0.0, tls=0.0, send=0.0, transfer=0.0, **fields) -> Call:
    """A call that was started `at_ms` after the start of the session, its stretches one after the other."""
    lengths = (connect, tls, send, wait, transfer)
    stood, secured, sent, answered, ended = (_at(at_ms + sum(lengths[: place + 1])) for place in range(5))
    made = {
        "started_ns": _at(at_ms),
        "connected_ns": stood if connect else None,
        "secured_ns": secured if tls else None,
        "sent_ns": sent,
        "answered_ns": answered,
        "ended_ns": ended,
        "peer": POSTGRES,
        "local": "10.0.3.9:50001",
        "connection": 7,
        "tid": 4313,
        "protocol": "postgresql",
        "operation": SELECT,
        "sent_bytes": 60,
        "received_bytes": 400,
    }
    return Call(**(made | fields))


def refused(at_ms: float, ms: float, **fields) -> Call:
    """A call whose connection was refused."""
    nothing = dict.fromkeys(("connected_ns", "sent_ns", "answered_ns"))
    return call(at_ms, ms, **(nothing | {"outcome": "failed", "operation": None, "received_bytes": 0} | fields))


def culprit(request: int | None, ms: float, target: str | None = "/block", method: str | None = "GET") -> Culprit:
    """A request, or none, that kept the loop for so long."""
    return Culprit(request, method, target, round(ms * MS), 4313, 4313)


def asks(record: ServedRequest, *calls: Call, **fields) -> ServedRequest:
    """Give a request its calls (`calls` by name is a bucket)."""
    return msgspec.structs.replace(record, calls=calls, **fields)


def with_order_calls(view):
    """Give the orders of a view their calls; the second newest request stands for one that waited for its loop."""
    *others, second, newest = (_calling(request) for request in view.requests)
    ledger = msgspec.structs.replace(second.ledger, booked_ns=_looping(second.ledger.booked_ns))
    culprits = (
        msgspec.structs.replace(culprit(newest.record.id, 240, "/block"), pid=4316),
        culprit(7, 61, "/report/7"),
        *(culprit(None, 4, None, None) for _ in range(3)),
    )
    begun = second.record.started_ns + 14 * MS
    waits = (
        wait("loop", 240, waker=waker(newest.record.id), started_ns=begun, call=None),
        wait("loop", 128, waker=waker(7), started_ns=begun + 240 * MS, call=None),
    )
    record = msgspec.structs.replace(
        second.record, booked_ns=ledger.booked_ns, culprits=culprits, waits=waits, threads="followed"
    )
    looping = msgspec.structs.replace(second, record=record, ledger=ledger)
    called = Called(limit=64)
    for one in others:
        called.take(timed(one.record.calls), is_more=False)
    return msgspec.structs.replace(view, requests=(*others, looping, newest), downstream=called.largest())


def _calling(request):
    is_order = any(wait.bucket == "calls" for wait in request.record.waits) and request.route == "/order/{}"
    return (
        msgspec.structs.replace(request, record=asks(request.record, *order_calls(request.record)))
        if is_order
        else request
    )


def _looping(booked_ns):
    """Turn all that a request waited for into time of its loop."""
    [queue, on_cpu, *waited] = booked_ns
    return booked(queue=queue, on_cpu=on_cpu, loop=sum(waited))


def _at(ms: float) -> int:
    return START + round(ms * MS)
