"""Who the telemetry is of: the service, its process, the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from perfwatch.agent.export.otlp.values import attributes
from perfwatch.agent.model import TargetInfo

if TYPE_CHECKING:
    from perfwatch.agent.model import SessionInfo

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.37.0"
"""The semantic conventions whose names are used."""
UNKNOWN: Final = "unknown_service:python"


def scope(info: SessionInfo) -> InstrumentationScope:
    """Return who measured."""
    return InstrumentationScope(name="perfwatch", version=info.perfwatch_version)


def resource(info: SessionInfo, service: int | None, name: str | None) -> Resource:
    """Return who served: the target, or of several the one with this PID; `name` is what the user calls it."""
    target = _target(info, service)
    return Resource(
        attributes=attributes(
            {
                "service.name": name or target.server or UNKNOWN,
                "service.instance.id": f"{info.hostname}:{target.pid}",
                "host.name": info.hostname,
                "host.arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(info.machine, info.machine),
                "os.type": "linux",
                "os.version": info.kernel,
                "process.pid": target.pid,
                "process.command_line": target.command,
                "process.runtime.name": "cpython" if target.python else None,
                "process.runtime.version": target.python,
                "telemetry.sdk.language": "python",
                "telemetry.sdk.name": "perfwatch",
                "telemetry.sdk.version": info.perfwatch_version,
            }
        )
    )


def _target(info: SessionInfo, service: int | None) -> TargetInfo:
    for target in info.targets:
        if target.pid == service:
            return target
    return TargetInfo(info.pid, info.command, info.python, info.server, info.inner_pid)
