"""Hand-made calls of requests to other processes, and who kept their loop. Times in milliseconds after the start."""

from __future__ import annotations

import msgspec
from making import MS, START

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


def _at(ms: float) -> int:
    return START + round(ms * MS)
