"""What is said of a queue, in words: sentences for the text report, words that the screens use too.

Names, paths and addresses stand in the sentences as they came: whoever shows them makes them harmless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.wording import duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from perfwatch.agent.model_queues import CgroupLimit, ConnectionSetup, CpuShare, DiskQueue, DiskShare, Pressure
    from perfwatch.agent.report_contract_queues import Cost, RunQueue, Socket

STATES: Final[Mapping[str, str]] = {
    "R": "running or runnable",
    "S": "sleeping",
    "D": "in uninterruptible sleep",
    "T": "stopped",
    "t": "traced",
    "Z": "ended, not waited for",
    "I": "idle",
    "P": "parked",
    "X": "dead",
}
"""The kernel's letters for the state of a thread, in words."""
_MANY: Final = 999.5
_SHORT_MS: Final = 0.0995
_TEN: Final = 9.95
_PROBES: Final = 3
_LEAST_CPUS: Final = 0.005
"""What would be shown as 0.00."""
_LEAST_BYTES_S: Final = 10_000


def run_queue(queue: RunQueue) -> str:
    """Say how many threads wanted a CPU and had none."""
    if queue.waiting_mean is None:
        return f"{queue.runnable_mean:.1f} threads ran or could run on average, on {counted(queue.cpus, 'CPU')}"
    told = f"{queue.waiting_mean:.1f} threads waited for a CPU on average"
    spread = f"(median {queue.waiting_median:g}, at most {queue.waiting_max})"
    return f"{told} {spread}, on {counted(queue.cpus, 'CPU')}"


def cpu_users(users: Iterable[CpuShare]) -> str:
    """Say who used the CPUs: `gunicorn (pid 4312, the target) 1.20, stress (pid 812) 0.70 CPUs`."""
    told = (f"{_who(user)} {user.cpus:.2f}" for user in notable(users))
    return f"{used} CPUs" if (used := ", ".join(told)) else ""


def notable(users: Iterable[CpuShare]) -> Iterator[CpuShare]:
    """Leave out who used next to nothing."""
    return (user for user in users if user.cpus >= _LEAST_CPUS)


def moving(users: Iterable[DiskShare]) -> Iterator[DiskShare]:
    """Leave out who moved next to nothing."""
    return (user for user in users if user.read_bytes_s + user.written_bytes_s >= _LEAST_BYTES_S)


def accept_queue(socket: Socket) -> str:
    """Say how deep an accept queue was."""
    waiting, limit = socket.backlog or 0, socket.backlog_max or 0
    drops = f"; turned away {counted(socket.drops, 'time')} since it was opened" if socket.drops else ""
    if waiting >= limit > 0:
        return f"{socket.local}: it was full, {counted(waiting, 'connection')} waited where {limit} may{drops}"
    most = f"at most {counted(waiting, 'connection')}" if waiting else "no connection"
    return f"{socket.local}: {most} waited where {limit} may{drops}"


def connection(socket: Socket) -> str:
    """Say what stands in a connection's buffers, and what held it up."""
    direction = "from" if socket.role == "accepted" else "to"
    facts = [
        f"{binary(socket.recv_q)} not read" if socket.recv_q else "",
        f"{binary(socket.send_q)} not sent or not acknowledged" if socket.send_q else "",
        f"peer's window full for {took(socket.rwnd_limited_ms)}" if socket.rwnd_limited_ms else "",
        f"send buffer too small for {took(socket.sndbuf_limited_ms)}" if socket.sndbuf_limited_ms else "",
        f"{counted(socket.retransmits, 'segment')} sent again" if socket.retransmits else "",
        f"round trip {took(socket.rtt_ms)}" if socket.rtt_ms is not None else "",
    ]
    return f"{direction} {socket.peer or '?'}: " + (", ".join(fact for fact in facts if fact) or "quiet")


def sockets(count: int, held_up: int) -> str:
    """Say how many sockets there were at the last reading, and in how many something waits or waited."""
    these = "none was held up" if not held_up else f"{held_up} {'was' if held_up == 1 else 'were'} held up:"
    return f"{count} of the target at the end; {these}"


def is_telling(socket: Socket) -> bool:
    """Tell whether something waited in a connection, or held it up."""
    held = (socket.rwnd_limited_ms, socket.sndbuf_limited_ms, socket.retransmits, socket.drops)
    return socket.role != "listening" and any((socket.recv_q, socket.send_q, *held))


def disk(queue: DiskQueue) -> str:
    """Say how busy a device was, and what is on it."""
    facts = [f"{percent(queue.utilisation)} busy", f"{queue.depth:.1f} requests under way"]
    facts += [f"{took(queue.await_ms)} each"] if queue.await_ms is not None else []
    facts += [f"99 % within {took(queue.p99_ms)}"] if queue.p99_ms is not None else []
    facts += list(_moved(queue.read_bytes_s, queue.written_bytes_s))
    files = f"; files of the target: {', '.join(queue.file_systems)}" if queue.file_systems else ""
    return f"{queue.device}: {', '.join(facts)}{files}"


def disk_users(users: Iterable[DiskShare]) -> str:
    """Say who moved most bytes."""
    return ", ".join(
        f"{_who(user)} {' and '.join(_moved(user.read_bytes_s, user.written_bytes_s))}" for user in moving(users)
    )


def cgroup(limit: CgroupLimit) -> str:
    """Say what a cgroup may use, and what it does; that of the memory may be another one."""
    quota, memory = ", ".join(_quota(limit)), ", ".join(_memory(limit))
    if limit.memory_path is not None and memory:
        allowed = quota or ("no CPU quota" if limit.throttled is not None else "")
        return "; ".join(
            f"{path}: {told}" for path, told in ((limit.path, allowed), (limit.memory_path, memory)) if told
        )
    return f"{limit.path}: {', '.join(filter(None, (quota, memory))) or 'no limit that was read'}"


def _quota(limit: CgroupLimit) -> Iterator[str]:
    if limit.quota_cpus is None:
        return
    used = "" if limit.used_cpus is None else f", {limit.used_cpus:.2f} used"
    yield f"{limit.quota_cpus:g} CPUs allowed{used}"
    if limit.throttled is not None:
        lost = "" if limit.throttled_ms_s is None else f" ({took(limit.throttled_ms_s)} in each second)"
        yield f"throttled in {percent(limit.throttled)} of its periods{lost}"


def _memory(limit: CgroupLimit) -> Iterator[str]:
    if limit.memory_bytes is not None:
        most = "" if limit.memory_limit_bytes is None else f" of {binary(limit.memory_limit_bytes)} allowed"
        yield f"{binary(limit.memory_bytes)} of memory used{most}"
    if limit.limit_hits:
        yield f"its memory limit was reached {counted(limit.limit_hits, 'time')}"
    if limit.oom_kills:
        yield f"killed for memory {counted(limit.oom_kills, 'time')}"


def pressure(one: Pressure) -> str:
    """Say how long tasks were held up; nothing where the kernel does not say."""
    shares = (("CPU", one.cpu), ("memory", one.memory), ("io", one.io))
    told = ", ".join(f"{percent(part)} for {name}" for name, part in shares if part is not None)
    return f"{one.scope}: part of the time in which some task waited: {told}" if told else ""


def threads(states: Mapping[str, int]) -> str:
    """Say what the target's threads did at the last reading."""
    return ", ".join(f"{count} {STATES.get(state, state)}" for state, count in states.items())


def connections(setup: ConnectionSetup) -> str:
    """Say what connections cost before their first byte."""
    facts = [f"{setup.count} {setup.role}"]
    facts += [f"{took(setup.setup_ms)} to set one up"] if setup.setup_ms is not None else []
    if setup.tls_count:
        each = "" if setup.tls_ms is None else f", {took(setup.tls_ms)} each"
        facts.append(f"{setup.tls_count} with TLS ({setup.tls_resumed} of them resumed{each})")
    facts.append(f"{counted(setup.retransmits, 'segment')} sent again, {counted(setup.resets, 'reset')}")
    return "; ".join(facts)


def cost(own: Cost) -> str:
    """Say what perfwatch itself used."""
    cpu = own.cpu if own.cpu_mean is None else own.cpu_mean
    used = "" if cpu is None else f"{share(cpu)} of a core, "
    told = f"perfwatch itself used {used}{binary(own.rss_bytes)} of memory; its budget is {share(own.budget)} of a core"
    over = " and it is over it" if cpu is not None and cpu > own.budget else ""
    dear = [f"{one.name} {share(one.cpu)}" for one in own.probes[:_PROBES] if one.cpu > 0]
    return told + over + (f"; dearest probes: {', '.join(dear)}" if dear else "")


def slowed(probe: str, period_s: float | None, reason: str) -> str:
    """Say that a probe is read less often than it would be, or follows a sample (no period)."""
    return f"{probe} {reason}" if period_s is None else f"{probe} is read every {period_s:g} s only: {reason}"


def share(part: float) -> str:
    """Return a small share in percent, with a decimal below 10: `0.9 %`."""
    return f"{part * 100:.1f} %" if part * 100 < _TEN else percent(part)


def took(value_ms: float | None) -> str:
    """Return a time that may be very short: `34 µs`, `12 ms`; `?` where it is not known."""
    if value_ms is None:
        return "?"
    return f"{value_ms * 1e3:.0f} µs" if 0 < value_ms < _SHORT_MS else duration(value_ms * 1e6)


def counted(number: int, name: str) -> str:
    """Return so many of something: `1 reset`, `3 resets`."""
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def octets(number: float) -> str:
    """Return a number of bytes on their way, by powers of 1000: `412 B`, `1.2 kB`, `34 MB`."""
    return _scaled(number, 1000, ("kB", "MB", "GB", "TB", "PB", "EB"))


def binary(number: float) -> str:
    """Return a number of bytes in memory, by powers of 1024: `412 B`, `64 KiB`, `2.0 GiB`."""
    return _scaled(number, 1024, ("KiB", "MiB", "GiB", "TiB"))


def _scaled(number: float, step: int, units: Sequence[str]) -> str:
    if number < step:
        return f"{number:.0f} B"
    amount, power = number / step, 0
    while amount >= _MANY and power < len(units) - 1:
        amount, power = amount / step, power + 1
    return f"{amount:.1f} {units[power]}" if amount < _TEN else f"{amount:.0f} {units[power]}"


def _moved(read_bytes_s: float, written_bytes_s: float) -> Iterator[str]:
    if read_bytes_s:
        yield f"{octets(read_bytes_s)}/s read"
    if written_bytes_s or not read_bytes_s:
        yield f"{octets(written_bytes_s)}/s written"


def _who(user: CpuShare | DiskShare) -> str:
    return f"{user.name} (pid {user.pid}{', the target' if user.is_target else ''})"
