"""The part of a view that says how much memory the target holds, whether it grows, and what its collectors did.

As in `model.py`: frozen, times in nanoseconds, monotonic; None where it was not measured.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Growth(msgspec.Struct, frozen=True):
    """By how much something grew: a straight line, where what was read is one, within its scatter."""

    bytes_min: float
    """Per minute."""
    low: float
    """With 95 % confidence it is no less, `high` no more."""
    high: float
    over_ns: int
    """The stretch that it was read over, which ends now."""


class ProcessMemoryUse(msgspec.Struct, frozen=True):
    """One process of the target."""

    pid: int
    rss_bytes: int
    """In memory; pages that it shares with others count in each."""
    pss_bytes: int | None
    """Those divided by their users, which is not read of large processes; as of its last reading, as `uss_bytes`."""
    uss_bytes: int | None
    """What is its alone."""
    swap_bytes: int | None
    virtual_bytes: int
    minor_faults_s: float | None
    """Over the last 10 s, as `major_faults_s`: pages that had to be made, or were found in memory."""
    major_faults_s: float | None
    """Pages that were read from a disk."""
    growth: Growth | None
    """Of its RSS; None where it does not grow, or that cannot be told from its scatter."""
    past: tuple[tuple[int, int], ...]
    """(at_ns, RSS) since it was first read, at about even distances; at most 240."""


class HostMemory(msgspec.Struct, frozen=True):
    """The host's; rates over the last 10 s."""

    total_bytes: int
    available_bytes: int
    swap_total_bytes: int
    swap_free_bytes: int
    swapped_in_bytes_s: float | None
    major_faults_s: float | None
    direct_reclaims_s: float | None
    """How often a thread had to look for a free page itself, and waited for that."""
    oom_kills: int | None
    """Processes that were killed for want of memory, since the first record."""


class Room(msgspec.Struct, frozen=True):
    """What is left until something is full, of all that the target could fill, the least."""

    of: str
    """A cgroup's path, untrusted; or `host`."""
    free_bytes: int
    limit_bytes: int
    full_in_s: float | None
    """If it goes on growing as it did; None where nothing grows."""


class MemoryState(msgspec.Struct, frozen=True):
    """The memory of the target and of its host."""

    processes: tuple[ProcessMemoryUse, ...] = ()
    """The largest first; at most 64."""
    total: tuple[tuple[int, int], ...] = ()
    """(at_ns, RSS of all) since the first reading, at about even distances; at most 240."""
    growth: Growth | None = None
    """Of `total`, over its last five minutes."""
    host: HostMemory | None = None
    room: Room | None = None


class GcRun(msgspec.Struct, frozen=True, gc=False):
    """One run of a garbage collector."""

    started_ns: int
    paused_ns: int
    pid: int
    tid: int | None
    thread: str | None
    """Its name in Python; untrusted."""
    generation: int | None
    collected: int | None
    """Objects that it freed."""
    request: int | None
    """Id of the request that it delayed, being on its thread."""
    serves: str | None
    """The same as words: `GET /search`; untrusted. None where it is no longer known."""
    source: Literal["probe", "watchpoint", "polled"]
    """As in `GcPause`."""


class GcRuns(msgspec.Struct, frozen=True):
    """Single runs of the collectors; only those that are seen one by one."""

    newest: tuple[GcRun, ...] = ()
    """Newest last; at most 64."""
    longest: tuple[GcRun, ...] = ()
    """Since the first record, the longest first; at most 32."""
