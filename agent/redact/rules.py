"""What becomes of each text of each record: a table, which a test holds against the records' own fields.

A rule is a method of `Hiding`. What is a closed set (`Literal`) needs none; a text that has none is hidden altogether.
"""

from __future__ import annotations

from typing import Final

from perfwatch.agent import model
from perfwatch.probes import frames, records, samples

RULES: Final[dict[type, dict[str, str]]] = {
    records.Peer: {"address": "address"},
    records.Waker: {"name": "process"},
    records.Wait: {"call": "kernel", "detail": "kernel", "peer": "address"},
    records.Call: {"peer": "address", "local": "address", "operation": "operation"},
    records.Culprit: {"method": "method", "target": "path"},
    records.ServedRequest: {"method": "method", "target": "path", "local": "address", "remote": "address"},
    records.OpenRequest: {
        "method": "method",
        "target": "path",
        "call": "kernel",
        "detail": "kernel",
        "peer": "address",
        "local": "address",
        "remote": "address",
    },
    records.ListenerSample: {"address": "address"},
    records.TargetChange: {"detail": "detail"},
    records.PeerProcess: {"address": "address", "name": "process"},
    records.Loss: {"probe": "kernel", "reason": "prose"},
    samples.CpuUser: {"name": "process"},
    samples.PressureSample: {"scope": "cgroup"},
    samples.CgroupSample: {"path": "cgroup", "memory_path": "cgroup"},
    samples.DiskSample: {"device": "device"},
    samples.DiskLatency: {"device": "device"},
    samples.DiskUser: {"name": "process"},
    samples.FilePlace: {"path": "file", "device": "device", "mount_point": "file", "file_system": "kernel"},
    samples.SocketState: {"state": "kernel", "local": "address", "peer": "address"},
    samples.SocketsSample: {"by_state": "kernel"},
    samples.Connection: {"local": "address", "peer": "address", "tls_version": "kernel"},
    samples.ThreadState: {"name": "process", "state": "kernel", "wait_channel": "kernel", "call": "kernel"},
    samples.ProbeCost: {"name": "kernel"},
    samples.RateChange: {"probe": "kernel", "reason": "prose"},
    frames.Frame: {"function": "function", "file": "source"},
    frames.ThreadName: {"name": "process"},
    frames.PythonSample: {"version": "kernel"},
    frames.Span: {"method": "method", "target": "path", "route": "route", "error": "function"},
    frames.Task: {"client": "address", "awaits": "function", "target": "path", "used": "address"},
    model.ProbeStatus: {"name": "kernel", "reason": "prose", "lost": "prose", "remedy": "prose"},
    model.TargetInfo: {"command": "command", "python": "kernel", "server": "kernel"},
    model.SessionInfo: {
        "perfwatch_version": "kernel",
        "command": "command",
        "python": "kernel",
        "server": "kernel",
        "listeners": "address",
        "hostname": "host",
        "kernel": "release",
        "machine": "kernel",
        "previous": "file",
    },
    model.Container: {"id": "cgroup", "runtime": "kernel", "name": "process", "image": "file", "pod": "host"},
}
"""By the struct, and its field."""
