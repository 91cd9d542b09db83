"""The shape of a report, its part on what a request did elsewhere: its calls, and who kept its event loop.

The rules of `report_contract.py` hold.
"""

from __future__ import annotations

from typing import Literal

from perfwatch.agent.model import Protocol  # noqa: TC001 - msgspec reads the annotations
from perfwatch.agent.report_contract_queues import Struct


class Call(Struct, frozen=True):
    """One exchange with another process; its five stretches add up to `duration_ms`."""

    peer: str
    protocol: Protocol
    operation: str | None
    """Without literals; null where it is not known."""
    kind: Literal["call", "publish"]
    outcome: Literal["answered", "unanswered", "failed"]
    offset_ms: float
    """When it was started, after the request arrived."""
    duration_ms: float
    connect_ms: float
    tls_ms: float
    send_ms: float
    wait_ms: float
    """Until the first byte of the answer could be read."""
    transfer_ms: float
    unread_ms: float
    """After that, until a thread first read of it: its own process was late."""
    new_connection: bool
    sent_bytes: int
    received_bytes: int
    pid: int
    """Of the process that made it."""
    tid: int
    local: str
    """Its own end: what the peer sees."""
    function: str | None
    """Where in the code it was made, as file and line; null where that is not known."""
    file: str | None
    line: int | None


class Culprit(Struct, frozen=True):
    """Another request that kept the event loop while this one could have run; without one: the loop's own work.

    Function, file and line: where it spent its time, or was when it let go; null where that is not known.
    """

    request: int | None
    method: str | None
    target: str | None
    held_ms: float
    share: float
    """Of the latency of the request that it kept waiting."""
    pid: int
    tid: int
    function: str | None
    file: str | None
    line: int | None
    called: str | None
    """What it was in the midst of calling; null where it did the work itself."""
