"""Hand-made samples of what surrounds requests: short where a test does not care. Times in milliseconds."""

from __future__ import annotations

from making import MS, START

from perfwatch.agent.model import BUCKETS
from perfwatch.probes import samples
from perfwatch.probes.records import ListenerSample

CGROUP = "/system.slice/shop.service"
MB = 1_000_000


def at(at_ms: float) -> int:
    return START + round(at_ms * MS)


def cpu(at_ms: float, busy_ms=(0.0, 0.0), *, steal_ms=0.0, runnable=(), top=()) -> samples.CpuSample:
    """CPUs that were busy so long since they started, `at_ms` plus 10 s ago; stolen time comes on top."""
    lived_ms = at_ms + 10_000
    cpus = tuple(
        samples.CpuTimes(
            user_ns=round(busy * MS),
            nice_ns=0,
            system_ns=0,
            idle_ns=round((lived_ms - busy - steal_ms) * MS),
            iowait_ns=0,
            irq_ns=0,
            softirq_ns=0,
            steal_ns=round(steal_ms * MS),
        )
        for busy in busy_ms
    )
    return samples.CpuSample(at(at_ms), cpus, 0, 0, 0, 0, (0.0, 0.0, 0.0), tuple(runnable), tuple(top))


def user(name: str, used_ms: float, pid: int = 900, *, is_target: bool = False) -> samples.CpuUser:
    return samples.CpuUser(pid, name, round(used_ms * MS), is_target)


def pressure(at_ms: float, scope: str = "host", **some_ms: float) -> samples.PressureSample:
    def total(name: str) -> int | None:
        return round(some_ms[name] * MS) if name in some_ms else None

    return samples.PressureSample(at(at_ms), scope, total("cpu"), None, total("memory"), None, total("io"), None)


def cgroup(at_ms: float, **fields) -> samples.CgroupSample:
    made = {
        "at_ns": at(at_ms),
        "path": CGROUP,
        "version": 2,
        "memory_path": CGROUP,
        "cpu_ns": None,
        "quota_ns": None,
        "period_ns": None,
        "periods": None,
        "throttled_periods": None,
        "throttled_ns": None,
        "memory_bytes": None,
        "memory_limit_bytes": None,
        "limit_hits": None,
        "oom_kills": None,
        "read_bytes": None,
        "written_bytes": None,
    }
    return samples.CgroupSample(**(made | fields))


def quota(at_ms: float, used_ms: float, throttled: int, throttled_ms: float) -> samples.CgroupSample:
    """A cgroup that may use 20 ms of each 100 ms, and was active in all of them since `at_ms` -10 s."""
    return cgroup(
        at_ms,
        cpu_ns=round(used_ms * MS),
        quota_ns=20 * MS,
        period_ns=100 * MS,
        periods=round((at_ms + 10_000) / 100),
        throttled_periods=throttled,
        throttled_ns=round(throttled_ms * MS),
    )


def memory(at_ms: float, *, available: int = 6000 * MB, **counters) -> samples.MemorySample:
    made = dict.fromkeys(
        (
            "swapped_in_bytes",
            "swapped_out_bytes",
            "scanned_background_pages",
            "scanned_direct_pages",
            "reclaimed_direct_pages",
            "direct_reclaims",
            "major_faults",
            "oom_kills",
        )
    )
    return samples.MemorySample(at(at_ms), 8000 * MB, available, available, 0, 0, 0, 0, 0, **(made | counters))


def process_memory(at_ms: float, major_faults: int, pid: int = 4313, rss: int = 1 << 28) -> samples.ProcessMemory:
    return samples.ProcessMemory(at(at_ms), pid, 1 << 30, rss, None, major_faults, major_faults, None, None)


def disk(at_ms: float, device: str = "vda", *, busy_ms=0.0, queue_ms=0.0, writes=0, write_ms=0.0, written=0):
    return samples.DiskSample(
        at_ns=at(at_ms),
        device=device,
        reads=0,
        writes=writes,
        read_bytes=0,
        written_bytes=written,
        read_ns=0,
        write_ns=round(write_ms * MS),
        in_flight=0,
        busy_ns=round(busy_ms * MS),
        queue_ns=round(queue_ms * MS),
        flushes=None,
        flush_ns=None,
    )


def movers(at_ms: float, *top: samples.DiskUser) -> samples.DiskUsers:
    return samples.DiskUsers(at(at_ms), top)


def mover(name: str, written: int, pid: int = 901, *, is_target: bool = False) -> samples.DiskUser:
    return samples.DiskUser(pid, name, 0, written, is_target)


def files(at_ms: float, device: str = "vda", *, pid: int = 4313, mount: str = "/var/lib") -> samples.TargetFiles:
    return samples.TargetFiles(at(at_ms), pid, (samples.FilePlace(f"{mount}/db", device, mount, "ext4", True),))


def socket(cookie: int, role: str = "accepted", **fields) -> samples.SocketState:
    made = {
        "cookie": cookie,
        "pid": 4313,
        "role": role,
        "state": "LISTEN" if role == "listening" else "ESTABLISHED",
        "local": "127.0.0.1:8000",
        "peer": None if role == "listening" else "127.0.0.1:50000",
        "recv_q": 0,
        "send_q": 0,
    }
    return samples.SocketState(**(made | fields))


def sockets(at_ms: float, *states: samples.SocketState) -> samples.SocketsSample:
    return samples.SocketsSample(at(at_ms), len(states), (("ESTABLISHED", len(states)),), 0, 0, states)


def listener(at_ms: float, backlog: int, address="127.0.0.1:8000", recv_q_bytes=None, limit=128) -> ListenerSample:
    return ListenerSample(at(at_ms), address, backlog, limit, recv_q_bytes)


def network(at_ms: float, **fields) -> samples.NetworkSample:
    made = {
        "at_ns": at(at_ms),
        "sent_segments": 0,
        "received_segments": 0,
        "retransmitted_segments": 0,
        "listen_overflows": 0,
        "listen_drops": 0,
        "backlog_drops": 0,
        "timeouts": 0,
        "resets_sent": 0,
        "received_bytes": 0,
        "sent_bytes": 0,
        "interface_errors": 0,
        "interface_drops": 0,
        "speed_bits": None,
    }
    return samples.NetworkSample(**(made | fields))


def connection(at_ms: float, number: int, **fields) -> samples.Connection:
    made = {
        "at_ns": at(at_ms),
        "id": number,
        "role": "accepted",
        "local": "127.0.0.1:8000",
        "peer": f"127.0.0.1:{50_000 + number}",
        "opened_ns": at(at_ms),
        "setup_ns": None,
        "tls_ns": None,
        "tls_version": None,
        "resumed": None,
        "retransmits": 0,
        "reset": False,
        "closed_ns": None,
        "sent_bytes": None,
        "received_bytes": None,
    }
    return samples.Connection(**(made | fields))


def thread(tid: int, state: str = "S", run_ms=None, wait_ms=None) -> samples.ThreadState:
    run_ns, wait_ns = (None if ms is None else round(ms * MS) for ms in (run_ms, wait_ms))
    return samples.ThreadState(tid, f"worker-{tid}", state, None, None, None, run_ns, wait_ns, None, None)


def threads(at_ms: float, *states: samples.ThreadState, pid: int = 4313) -> samples.ThreadsSample:
    return samples.ThreadsSample(at(at_ms), pid, len(states), states)


def thread_time(at_ms: float, count: int = 4, *, idle: float = 0.0, pid: int = 4313, **spent_ms) -> samples.ThreadTime:
    booked = tuple(round(spent_ms.get(bucket, 0) * MS) for bucket in BUCKETS)
    return samples.ThreadTime(at(at_ms), pid, count, 100, booked, round(idle * MS))


def collector(at_ms: float, cpu_ms: float, *probes: samples.ProbeCost, budget: float = 0.1) -> samples.CollectorSample:
    return samples.CollectorSample(at(at_ms), round(cpu_ms * MS), 46 << 20, budget, probes)


def slowed(at_ms: float, period_ms: float, was_ms: float, probe: str = "sockets") -> samples.RateChange:
    return samples.RateChange(at(at_ms), probe, round(period_ms * MS), round(was_ms * MS), "over budget")


def cost(name: str, cpu_ms: float, period_ms: float = 1000) -> samples.ProbeCost:
    return samples.ProbeCost(name, 1, round(cpu_ms * MS), round(period_ms * MS), 1)


def latency(at_ms: float, device: str = "vda", reads=(), writes=()) -> samples.DiskLatency:
    return samples.DiskLatency(at(at_ms), device, tuple(reads), tuple(writes))


def following(at_ms: float, share: float, probe: str = "wire") -> samples.RateChange:
    return samples.RateChange(at(at_ms), probe, 100 * MS, 100 * MS, f"follows 1 in {1 / share:.0f}", share)
