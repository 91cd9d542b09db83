"""The shape of a report, its part on memory: what the target holds, whether it grows, what its collectors did.

The rules of `report_contract.py` hold; figures are those of the end unless they say otherwise.
"""

from __future__ import annotations

from perfwatch.agent.report_contract_queues import Struct


class Growth(Struct, frozen=True):
    """A straight line through what was read, within its scatter."""

    bytes_min: float
    """Per minute; with 95 % confidence between `low` and `high`."""
    low: float
    high: float
    over_s: float
    """So long before the end it was read over."""


class ProcessMemory(Struct, frozen=True):
    """One process of the target."""

    pid: int
    rss_bytes: int
    pss_bytes: int | None
    uss_bytes: int | None
    swap_bytes: int | None
    growth: Growth | None
    """Null where it does not grow, or that cannot be told."""


class Resident(Struct, frozen=True):
    """The target's RSS at a moment, of all its processes."""

    at: float
    rss_bytes: int


class Room(Struct, frozen=True):
    """What is left until something is full; of all that the target could fill, the least."""

    of: str
    """A cgroup's path, or `host`."""
    free_bytes: int
    limit_bytes: int
    full_in_s: float | None
    """If it goes on growing as it did; null where nothing grows."""


class GcRun(Struct, frozen=True):
    """One run of a garbage collector."""

    at: float
    paused_ms: float
    pid: int
    generation: int | None
    collected: int | None
    """Objects that it freed."""
    request: int | None
    """Id of the request that it delayed, being on its thread; `serves` says the same in words."""
    serves: str | None


class Memory(Struct, frozen=True):
    """The memory of the target."""

    processes: list[ProcessMemory]
    """The largest first; at most 64."""
    course: list[Resident]
    growth: Growth | None
    room: Room | None
    gc_longest: list[GcRun]
    """Only of those that are seen one by one; at most 32."""
