"""Hand-made queues, resources and costs of a busy host: what a view says when every probe runs.

`judge` puts them into the view of a correlator, for the screens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec
from judging import judge_that_shows

from perfwatch.agent import model
from perfwatch.agent import model_lately as lately_of
from perfwatch.agent import model_queues as queues_of
from perfwatch.probes.samples import SocketState

if TYPE_CHECKING:
    from perfwatch.agent.correlator.engine import Correlator

MS = 1_000_000
T = TypeVar("T")
CLOSED = {"role", "resource", "status"}
"""Fields that say one of a few words of ours."""
NAME = "postgres"
"""A neighbour, in every list that names processes."""


def socket(role: str = "connected", **changes: object) -> SocketState:
    """A connection to a database that answers slowly."""
    fields: dict[str, object] = {
        "cookie": 7,
        "pid": 4313,
        "role": role,
        "state": "LISTEN" if role == "listening" else "ESTABLISHED",
        "local": "0.0.0.0:8000",
        "peer": None if role == "listening" else "10.0.0.5:5432",
        "recv_q": 0,
        "send_q": 2048 if role == "listening" else 0,
    }
    return SocketState(**(fields | changes))  # type: ignore[arg-type]


def sockets() -> tuple[SocketState, ...]:
    """A listener, a client that reads slowly, a database that was sent much, and two that are quiet."""
    reader = socket(
        "accepted",
        cookie=8,
        peer="10.0.3.7:40001",
        send_q=1_200_000,
        rtt_ns=84 * MS,
        retransmits=3,
        busy_ns=9_000 * MS,
        rwnd_limited_ns=7_400 * MS,
        sndbuf_limited_ns=0,
        sent_bytes=9_000_000,
        received_bytes=400,
        drops=0,
    )
    written = socket(cookie=9, recv_q=64 << 10, rtt_ns=MS // 2, retransmits=0, sndbuf_limited_ns=20 * MS)
    return (socket("listening", recv_q=5), reader, written, socket(), socket("accepted", cookie=10, state="CLOSE_WAIT"))


def queues(**changes: object) -> queues_of.Queues:
    """All queues; by name what is to be otherwise."""
    made = queues_of.Queues(
        run_queue=queues_of.RunQueue(
            cpus=2,
            waiting_mean=2.14,
            waiting_median=2.0,
            waiting_max=9,
            top=(
                queues_of.CpuShare(4313, "gunicorn", 0.91, is_target=True),
                queues_of.CpuShare(812, NAME, 0.72, is_target=False),
                queues_of.CpuShare(90, "kworker/1:2", 0.04, is_target=False),
            ),
        ),
        disks=(
            queues_of.DiskQueue(
                *("nvme0n1", 0.93, 4.2, 12.5, 1_200_000.0, 88_000_000.0, 64.0, ("/var/lib (ext4)", "/ (ext4)")),
                *(14.0, 322.0, 0.42, 13.1, 6),
            ),
            queues_of.DiskQueue("vdb", 0.0, 0.0, None, 0.0, 0.0, None, ()),
        ),
        disk_users=(
            queues_of.DiskShare(812, NAME, 0.0, 80_000_000.0, is_target=False),
            queues_of.DiskShare(4313, "gunicorn", 1_200_000.0, 900.0, is_target=True),
        ),
        sockets=sockets(),
        socket_count=42,
        threads=(("R", 3), ("S", 31), ("D", 1)),
        cgroups=(
            queues_of.CgroupLimit(
                "/system.slice/shop.service", 0.2, 0.2, 0.84, 412.0, 200 << 20, 512 << 20, limit_hits=7, oom_kills=1
            ),
            queues_of.CgroupLimit("/system.slice", None, 0.5, None, None, 900_000_000, None, None, None),
        ),
        pressure=(
            queues_of.Pressure("host", 0.12, 0.0, 0.034, None, 0.0, 0.021),
            queues_of.Pressure("/system.slice/shop.service", None, None, None),
        ),
        connections=(
            queues_of.ConnectionSetup("accepted", 120, 0.34, 118, 100, 4.1, retransmits=2, resets=0),
            queues_of.ConnectionSetup("connected", 9, None, 0, 0, None, retransmits=0, resets=1),
        ),
    )
    return msgspec.structs.replace(made, **changes)


def lately(**changes: object) -> lately_of.Lately:
    """What the pages show in detail, of the same host; by name what is to be otherwise."""
    made = lately_of.Lately(
        cpus=(lately_of.CpuUse(0.52, 0.2, 0.03, 0.04), lately_of.CpuUse(0.61, 0.32, 0.0, 0.0)),
        network=lately_of.NetworkUse(12_000_000.0, 3_000_000.0, 0.002, 2, 3, 1),
        doors=(
            lately_of.Door("0.0.0.0:8000", 5, 9, 2048, 2048, 3, 4096),
            lately_of.Door("unix:/run/shop.sock", None, None, 0, 128, 0, None),
        ),
        socket_states=(("ESTABLISHED", 39), ("CLOSE_WAIT", 2), ("LISTEN", 1)),
        unread_bytes=64 << 10,
        unacked_bytes=1_200_000,
        progress=(
            lately_of.Progress(8, 9.0, 0.0, 7.0, 2, 0.82, 0.0, 800_000.0, 40.0),
            lately_of.Progress(9, 9.0, 4.0, 0.0, 0, 0.0, 0.0, 20.0, 60_000.0),
            lately_of.Progress(7, 0.0, 0.0, 0.0, None, None, None, None, None),
        ),
        own_io=(lately_of.OwnIo(4313, 1_200_000.0, 900.0, 0.4), lately_of.OwnIo(4312, 0.0, None, None)),
        files=(
            lately_of.FilePlace("/var/lib/shop/orders.db", "nvme0n1", "/var/lib", "ext4", is_written=True),
            lately_of.FilePlace("/srv/shop/catalogue.json", "nvme0n1", "/", "ext4", is_written=False),
        ),
        seconds=lately_of.LastSeconds(
            disk_busy=(0.1, 0.4, None, 0.93, 0.93),
            io_pressure=(0.0, 0.02, 0.1, 0.034),
            cpu_pressure=(0.05, 0.12),
            standing_bytes=(0.0, 4096.0, 1_265_536.0),
            accept_queue=(0.0, 9.0, 5.0),
        ),
    )
    return msgspec.structs.replace(made, **changes)


PERMITS = (
    lately_of.Waits(
        "a connection of psycopg_pool", None, 31, 40, 2_400.0, 180.0, (("POST /order", 29), ("GET /me", 2))
    ),
)
DISK_WAITS = (lately_of.Waits("fsync", "append() at journal.py:41", 12, 14, 620.0, 88.0, (("POST /order", 12),)),)


def saturation() -> tuple[queues_of.Saturation, ...]:
    """All six resources, of which the network does not say how much it can carry."""
    return (
        queues_of.Saturation("cpu", 0.71, 0.34, 0, "71 % busy, 2.1 threads waited, steal 3 %"),
        queues_of.Saturation("memory", 0.41, 0.0, 1, "41 % used, nothing reclaimed, 1 process killed for memory"),
        queues_of.Saturation("disk", 0.93, 0.81, None, "nvme0n1 93 % busy, 4.2 requests under way, 12.5 ms each"),
        queues_of.Saturation("network", None, 0.002, 3, "12 MB/s, 0.2 % of segments sent again, 3 connections dropped"),
        queues_of.Saturation("threads", 0.02, None, None, "35 of 2048"),
        queues_of.Saturation("files", 0.93, None, None, "952 of 1024 in process 4313"),
    )


def own_cost(cpu: float = 0.034) -> queues_of.OwnCost:
    """The collector's, within its budget unless told otherwise."""
    probes = (("ledger", 0.012, 0.05), ("sockets", 0.0091, 4.0), ("threads", 0.004, 1.0), ("host", 0.0, 1.0))
    return queues_of.OwnCost(cpu, 46 << 20, 0.1, probes, cpu_mean=cpu / 2)


SLOWED = (("sockets", 4.0, "a reading took 97 ms: 20,000 sockets"),)
PROBES = (
    model.ProbeStatus("ledger", "running", period_s=0.05),
    model.ProbeStatus("sockets", "running", period_s=1.0),
    model.ProbeStatus("threads", "limited", "wait channels cannot be read", "what threads sleep in", "run it as root"),
    model.ProbeStatus("wire", "unavailable", "no CAP_NET_RAW", "TCP and TLS set-up times", "sudo perfwatch"),
)
LEDGER_LOST = model.ProbeStatus(
    "ledger",
    "unavailable",
    "no CAP_BPF and CAP_PERFMON",
    "exact ledgers, waits below 10 ms, who ended a wait",
    "sudo perfwatch 4312",
)


PARTS = {
    "queues": queues(),
    "queues_overall": queues(),
    "saturation": saturation(),
    "saturation_overall": saturation(),
    "own_cost": own_cost(),
    "slowed_probes": SLOWED,
    "lately": lately(),
    "permits": PERMITS,
    "disk_waits": DISK_WAITS,
}
"""All of it, by the field of a view that it stands in."""


def poisoned_parts(evil: str) -> dict[str, object]:
    """PARTS with each text replaced that comes from a kernel, a process or a peer."""
    return {name: poisoned(part, evil) for name, part in PARTS.items()}


def crowded(view: model.View, **changes: object) -> model.View:
    """The view with all of it, over the last seconds and overall; by name what is to be otherwise."""
    return msgspec.structs.replace(view, **(PARTS | changes))


def judge(**changes: object) -> type[Correlator]:
    """A correlator whose view is `crowded`; by name what is to be otherwise."""
    return judge_that_shows(lambda view: crowded(view, **changes))


def poisoned(value: T, evil: str) -> T:
    """The same with each text replaced that comes from a kernel, a process or a peer."""
    if isinstance(value, str):
        return evil
    if isinstance(value, tuple):
        return tuple(poisoned(part, evil) for part in value)
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__ if name not in CLOSED}
        return msgspec.structs.replace(value, **{name: poisoned(field, evil) for name, field in fields.items()})
    return value
