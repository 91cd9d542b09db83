"""The kernel's events about the way of a request: steps of threads, and of connections. Layout: layout.bpf.h."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from perfwatch.probes.errors import Malformed
from perfwatch.probes.ledger.addresses import ENDS, Address, parse_ends
from perfwatch.probes.records import BUCKETS

(
    READ,
    ANSWERED,
    IDLED,
    HANDED,
    TOOK,
    NOTIFIED,
    NOTICED,
    RESTED,
    CONNECTING,
    CONNECTED,
    SENT,
    RECEIVED,
    CLOSED,
) = range(1, 14)
"""enum step_kind"""
FOUND: Final = 14
"""No step of the kernel's: bytes of a request were read by a thread that is no lane, for whoever answers it."""
IS_ALL: Final = 1
"""`other` of ANSWERED, of a stream: nothing of the answer follows."""
HEAD_BYTES: Final = 128
LONG_NS: Final = 500_000
"""Stretches of this length are remembered one by one: whose they were is told to those who waited for them."""
_BOOKED: Final = 16  # enum bucket: padded to a power of two
_ON_CPU: Final = BUCKETS.index("on_cpu")
_BEFORE_CPU: Final = (0,) * _ON_CPU
_BEHIND_CPU: Final = (0,) * (_BOOKED - _ON_CPU - 1)
_STEP: Final = struct.Struct(f"=8xQIIIIQQQqQ{_BOOKED}Q")
"""Without its size and kind."""
_BOOKED_AT: Final = 10
"""Its place among the fields."""
_HEAD_AT: Final = _STEP.size + ENDS.size
STEP_BYTES: Final = _HEAD_AT + HEAD_BYTES
WHOSE: Final = slice(16, 48)
"""Where a step says of whom and of what kind it is: process, thread, kind, connection and request."""


class Ends(msgspec.Struct, frozen=True, gc=False):
    """A connection that the process opened itself, and the first bytes that went through it."""

    local: Address
    peer: Address
    head: bytes


class StepEvent(msgspec.Struct, frozen=True, gc=False):
    """One step: what it means, field by field, stands in layout.bpf.h."""

    at_ns: int
    pid: int
    tid: int
    step: int
    connection: int
    request: int
    since_ns: int
    bytes: int
    other: int
    booked_ns: tuple[int, ...]
    """By `BUCKETS`, then how much of `run_queue` was the quota's, and of `on_cpu` the garbage collector's."""
    ends: Ends | None

    @property
    def is_late(self) -> bool:
        """Whether it tells as of an earlier moment what was only added up: the rest of a turn."""
        return self.ends is not None and self.other != 0


def parse_step(data: bytes) -> StepEvent:
    """Read `struct step`; raises Malformed if it is shorter than it must be."""
    if len(data) < _STEP.size:
        raise Malformed(f"a step of {len(data)} bytes")
    f = _STEP.unpack_from(data)
    ends = _ends(data, f[4]) if f[3] >= CONNECTING else None
    return StepEvent(f[0], f[1], f[2], f[3], f[5], f[6], f[7], f[8], f[9], f[_BOOKED_AT:], ends)


def with_more(step: StepEvent, data: bytes) -> StepEvent | None:
    """Return an answer, and what was written of it next: one step, as of the later moment.

    None where that would not say the same: its thread did not only run, or ran so long that it is remembered for whom.
    """
    f = _STEP.unpack_from(data)
    on_cpu_ns = step.booked_ns[_ON_CPU] + f[_BOOKED_AT + _ON_CPU]
    if on_cpu_ns >= LONG_NS or sum(step.booked_ns) + sum(f[_BOOKED_AT:]) != on_cpu_ns:
        return None
    booked_ns = (*_BEFORE_CPU, on_cpu_ns, *_BEHIND_CPU)
    return StepEvent(f[0], f[1], f[2], f[3], f[5], f[6], f[7], step.bytes + f[8], f[9], booked_ns, None)


def _ends(data: bytes, head_length: int) -> Ends:
    if len(data) < _HEAD_AT + head_length:
        raise Malformed(f"a step of {len(data)} bytes")
    return Ends(*parse_ends(data[_STEP.size : _HEAD_AT]), data[_HEAD_AT : _HEAD_AT + head_length])
