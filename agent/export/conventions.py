"""A request in the words of OpenTelemetry's semantic conventions of HTTP, for spans and for metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.routes import NOT_SEEN
from perfwatch.agent.export.totals import Kind

if TYPE_CHECKING:
    from perfwatch.agent.export.schemes import Schemes
    from perfwatch.agent.model import Request, ServedRequest

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
OTHER_METHOD: Final = "_OTHER"
_FAILED: Final = 500


def method_of(record: ServedRequest) -> str:
    """Return the method as the conventions have it: one that is none of theirs, or was not seen, is `_OTHER`."""
    return record.method if record.method in METHODS else OTHER_METHOD


def route_of(request: Request) -> str | None:
    """Return the route; None where the path was not seen."""
    return None if request.route == NOT_SEEN else request.route


def error_of(request: Request) -> str | None:
    """Say what kind of failure it was: the status, or how it ended without an answer; None if it was none."""
    record = request.record
    if record.outcome != "answered":
        return record.outcome
    if not request.failed:
        return None
    return str(record.status) if (record.status or 0) >= _FAILED else f"grpc {record.grpc_status}"


def version_of(record: ServedRequest) -> str | None:
    """Return the version of HTTP; None of 1.x, whose digit is not read."""
    return "2" if record.protocol in {"http/2", "grpc"} else None


def kind_of(request: Request, schemes: Schemes) -> Kind:
    """Return what it is told apart by in metrics."""
    record = request.record
    return Kind(
        service=request.service,
        method=method_of(record),
        route=route_of(request),
        status=record.status,
        error=error_of(request),
        version=version_of(record),
        scheme=schemes.of(record),
    )
