"""BPF programs at places in the code of one process: `BPF_LINK_CREATE` with `BPF_TRACE_UPROBE_MULTI` (Linux 6.6).

Older ways hold for single threads only, or for all processes of the host; this link is for all threads of one process,
also those to come, and costs no other process anything. libbpf knows it from 1.3 on, so the system call is made here.
Source: `union bpf_attr` in linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes import roots

if TYPE_CHECKING:
    from collections.abc import Iterable

ATTACH_TYPE: Final = 48  # BPF_TRACE_UPROBE_MULTI
_BPF_LINK_CREATE: Final = 28
_RETURN: Final = 1  # BPF_F_UPROBE_MULTI_RETURN
_BPF: Final = {"x86_64": 321, "aarch64": 280}
_LEAST_KERNEL: Final = (6, 6)
_AT_ONCE: Final = 64


class Uprobe(NamedTuple):
    """A place in a file that a process has mapped as code."""

    pid: int
    fd: int
    """Of the file."""
    offset: int
    """In the file."""
    semaphore: int = 0
    """File offset of the counter that a USDT wants raised; 0: it has none."""
    is_return: bool = False
    """At the return of the function that begins there."""


class _LinkCreate(ctypes.Structure):
    _fields_ = (
        ("prog_fd", ctypes.c_uint32),
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("path", ctypes.c_uint64),
        ("offsets", ctypes.c_uint64),
        ("ref_ctr_offsets", ctypes.c_uint64),
        ("cookies", ctypes.c_uint64),
        ("count", ctypes.c_uint32),
        ("multi_flags", ctypes.c_uint32),
        ("pid", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
    )


def are_possible(release: str | None = None) -> bool:
    """Whether this kernel is new enough, by its release (`6.18.44-fc-v669`)."""
    major, minor, *_ = (release or platform.release()).split(".")
    return (int(major), int("".join(filter(str.isdigit, minor)) or 0)) >= _LEAST_KERNEL


def attach(program_fd: int, probe: Uprobe) -> int:
    """Make the link and return its descriptor; raises OSError."""
    path = ctypes.create_string_buffer(os.fsencode(roots.PROC / "self" / "fd" / str(probe.fd)))
    offset, semaphore = ctypes.c_uint64(probe.offset), ctypes.c_uint64(probe.semaphore)
    order = _LinkCreate(
        prog_fd=program_fd,
        attach_type=ATTACH_TYPE,
        path=ctypes.addressof(path),
        offsets=ctypes.addressof(offset),
        ref_ctr_offsets=ctypes.addressof(semaphore) if probe.semaphore else 0,
        count=1,
        multi_flags=_RETURN if probe.is_return else 0,
        pid=probe.pid,
    )
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(_BPF[platform.machine()], _BPF_LINK_CREATE, ctypes.byref(order), ctypes.sizeof(order))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "BPF_LINK_CREATE")
    return int(fd)


def detach(links: dict[int, list[int]], pids: Iterable[int]) -> None:
    """Take away the links of some processes, by their PIDs, where they have any.

    Each takes the kernel 20 ms, until no CPU is in it, and so do all at once.
    """
    descriptors = [link for pid in pids for link in links.pop(pid, ())]
    if descriptors:
        with ThreadPoolExecutor(_AT_ONCE, "detach") as pool:
            pool.map(os.close, descriptors)
