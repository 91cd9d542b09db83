"""The shape of a report, its part on time: the whole recording in equal stretches.

The rules of `report_contract.py` hold.
"""

from __future__ import annotations

from perfwatch.agent.report_contract_queues import Struct


class Moment(Struct, frozen=True):
    """One stretch of time; a request belongs to that in which it ended. Null is what was not measured."""

    at: float
    """When it began."""
    length_s: float
    """Of the last one what had passed of it."""
    requests: int
    slow: int
    errors: int
    p50_ms: float | None
    """Null where no request ended; so is `p95_ms`."""
    p95_ms: float | None
    in_flight: int
    """The most that were open at a reading."""
    cpu: float | None
    """Of the host, 0..1."""
    cpu_pressure: float | None
    """Part of it in which some task of the host waited for a CPU, 0..1."""
    io_pressure: float | None
