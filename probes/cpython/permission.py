"""Whether the target's memory may be read: what every probe needs that looks into its interpreter from outside."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from perfwatch.probes.cpython.memory import Memory
from perfwatch.probes.cpython.python import MACHINE
from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.probe import AVAILABLE, Availability

if TYPE_CHECKING:
    from collections.abc import Collection


def availability_of(pids: Collection[int], lost: str) -> Availability:
    """Say so of the first of some processes; `lost` is what is not known without it."""
    if platform.machine() != MACHINE:
        return Availability("unavailable", f"interpreters on {platform.machine()} are not known", lost)
    pid = next(iter(pids), None)
    if pid is None:
        return AVAILABLE
    try:
        Memory(pid).close()
    except Vanished:
        return AVAILABLE  # it has ended, which is no fault of the probe
    except Unavailable as refusal:
        return Availability("unavailable", refusal.reason, lost, refusal.remedy)
    return AVAILABLE
