"""perf_event_open(2) through ctypes: events of the kernel and of the processor. Source: `struct perf_event_attr`."""

from __future__ import annotations

import ctypes
import platform
from typing import Final

from perfwatch.probes import roots

_PERF_EVENT_OPEN: Final = {"x86_64": 298, "aarch64": 241}
_TYPE_SOFTWARE: Final = 1
_CPU_CLOCK: Final = 0
_EXCLUDE_IDLE: Final = 1 << 7
_FLAG_CLOEXEC: Final = 8


class Attributes(ctypes.Structure):
    """`struct perf_event_attr` up to `PERF_ATTR_SIZE_VER5`; what is not set is 0."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("bp_addr", ctypes.c_uint64),
        ("bp_len", ctypes.c_uint64),
        ("branch_sample_type", ctypes.c_uint64),
        ("sample_regs_user", ctypes.c_uint64),
        ("sample_stack_user", ctypes.c_uint32),
        ("clockid", ctypes.c_int32),
        ("sample_regs_intr", ctypes.c_uint64),
        ("aux_watermark", ctypes.c_uint32),
        ("sample_max_stack", ctypes.c_uint16),
        ("reserved", ctypes.c_uint16),
    )


def open_event(attributes: Attributes, *, tid: int = -1, cpu: int = -1) -> int:
    """Open an event of a thread (or all), on a CPU (or all); returns its descriptor. Raises OSError."""
    attributes.size = ctypes.sizeof(attributes)
    libc = ctypes.CDLL(None, use_errno=True)
    number = _PERF_EVENT_OPEN.get(platform.machine(), -1)
    fd = libc.syscall(number, ctypes.byref(attributes), tid, cpu, -1, _FLAG_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "perf_event_open")
    return int(fd)


def open_clock(cpu: int, period_ns: int) -> int:
    """Open the clock of a CPU: an event after each `period_ns` of its time, but while it idles."""
    clock = Attributes(type=_TYPE_SOFTWARE, config=_CPU_CLOCK, sample_period=period_ns, flags=_EXCLUDE_IDLE)
    return open_event(clock, cpu=cpu)


def online_cpus() -> list[int]:
    """Numbers of the CPUs that run: `0-1,3` in /sys/devices/system/cpu/online."""
    text = (roots.SYS / "devices" / "system" / "cpu" / "online").read_text()
    spans = [part.partition("-") for part in text.strip().split(",")]
    return [cpu for first, _, last in spans for cpu in range(int(first), int(last or first) + 1)]
