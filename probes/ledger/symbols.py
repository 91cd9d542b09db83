"""Kernel functions by address, from /proc/kallsyms: names for waits that no system call explains.

Example line: `ffffffff81a01230 t futex_wait_queue`. All addresses read 0 without CAP_SYSLOG, and a
container may hide the file: then nothing has a name.
"""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SCHEDULER: Final = (
    "__schedule",
    "schedule",
    "preempt_schedule",
    "io_schedule",
    "__traceiter_",
    "__bpf_trace",
    "bpf_",
    "__do_sys_",
    "do_syscall_64",
    "entry_",
    "x64_sys_call",
    "__wait_for_common",
    "wait_for_completion",
)


class KernelSymbols:
    """The kernel's functions; read once, when the first is asked for (0.1 to 0.3 s, 15 MB)."""

    def __init__(self, kallsyms: Path) -> None:
        self._kallsyms = kallsyms

    @cached_property
    def _table(self) -> tuple[list[int], list[str]]:
        found = []
        with suppress(OSError), self._kallsyms.open() as lines:
            for line in lines:
                address, kind, name, *_ = line.split()
                if kind in "tTwW" and (value := int(address, 16)):
                    found.append((value, name))
        found.sort()
        return [value for value, _ in found], [name for _, name in found]

    def name(self, address: int) -> str | None:
        """Return the function that holds an address."""
        starts, names = self._table
        at = bisect_right(starts, address) - 1
        return names[at] if at >= 0 else None

    def sleeper(self, stack: Iterable[int]) -> str | None:
        """Return the innermost function of a stack, leaf first, that is not the scheduler itself."""
        for address in stack:
            name = self.name(address)
            if name and not name.startswith(_SCHEDULER):
                return name
        return None
