"""Hand-made requests of two services, of which one calls the other. Times in milliseconds."""

from __future__ import annotations

import making as m
import msgspec

from perfwatch.agent.model import TargetInfo
from perfwatch.probes.records import Call, TreeMember

FRONT, BACK = 4312, 4400
INFO = m.info(
    slow_ms=50, targets=(TargetInfo(FRONT, "front", None, "uvicorn"), TargetInfo(BACK, "back", None, "gunicorn"))
)
MEMBERS = [TreeMember(m.START, *pair) for pair in ((FRONT, FRONT), (BACK, BACK), (4401, BACK))]
BACK_AT, BACK_UNIX = "127.0.0.1:8001", "unix:/run/back.sock"


def ns(at_ms):
    return m.START + round(at_ms * m.MS)


def call(start_ms, end_ms, local="127.0.0.1:50001", **fields):
    made = {
        "started_ns": ns(start_ms),
        "connected_ns": None,
        "secured_ns": None,
        "sent_ns": ns(start_ms),
        "answered_ns": ns(end_ms),
        "ended_ns": ns(end_ms),
        "peer": BACK_AT,
        "local": local,
        "connection": 1,
        "tid": FRONT,
        "protocol": "http/1",
        "operation": "GET /price/{}",
        "sent_bytes": 80,
        "received_bytes": 200,
    }
    return Call(**(made | fields))


def caller_of(request_id, end_ms, *calls, **fields):
    """A request to the front that waited for its calls, and ran 1 ms on a CPU."""
    waited = sum(one.ended_ns - one.started_ns for one in calls) / m.MS
    record = m.served(request_id, end_ms, ms=waited + 1, pid=FRONT, tid=FRONT, target="/buy/7", **fields)
    booked = m.booked(calls=waited, on_cpu=1)
    peers = (m.peer(calls[0].peer, waited, len(calls)),)
    return msgspec.structs.replace(record, booked_ns=booked, calls=calls, peers=peers)


def callee(request_id, start_ms, end_ms, remote="127.0.0.1:50001", **fields):
    """A request to the back that waited for a lock most of its time."""
    took = end_ms - start_ms
    holder = m.waker(tid=4477, name="refresher")
    made = {"pid": 4401, "tid": 4402, "target": "/price/7", "local": BACK_AT, "remote": remote}
    spent = {"lock": took * 0.9, "on_cpu": took * 0.1, "waits": (m.wait("lock", took * 0.9, waker=holder),)}
    return m.served(request_id, end_ms, **(spent | made | fields))
