"""Samples in bulk: one of each kind for tests of bounds, and a full second of every probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import around as a
import coding as c
import making as m
from making import MS

from perfwatch.probes import samples

if TYPE_CHECKING:
    from perfwatch.agent.correlator.surroundings import Sample

_STACKS = m.stacks(c.RENDER, c.GET)


def one_of_each(number: int) -> tuple[Sample, ...]:
    """Samples whose every name is new: nothing that is kept by name may grow with them."""
    name, at_ms = f"name {number}", number * 1000
    return (
        a.cpu(at_ms, top=(a.user(name, 5, number),)),
        a.memory(at_ms),
        a.process_memory(at_ms, 1, number),
        a.cgroup(at_ms, path=name),
        a.pressure(at_ms, name),
        a.disk(at_ms, name),
        a.latency(at_ms, name),
        a.movers(at_ms, a.mover(name, 5, number)),
        a.files(at_ms, name, pid=number),
        samples.ProcessIo(a.at(at_ms), number, 1, 1, None),
        a.sockets(at_ms, a.socket(number)),
        a.network(at_ms),
        a.connection(at_ms, number),
        a.threads(at_ms, a.thread(number), pid=number),
        a.thread_time(at_ms, pid=number),
        a.collector(at_ms, number),
        a.slowed(at_ms, 2000, 1000, name),
        c.python(at_ms, pid=number),
        c.pause(at_ms, 1, pid=number),
        c.sighted(at_ms, *((at_ms, tid, 0, True) for tid in range(10)), stacks=_STACKS, pid=number),
    )


def full_second(number: int) -> tuple[Sample, ...]:
    """One second of every probe on a busy host: 16 CPUs, 256 sockets, 256 threads."""
    at_ms = number * 1000
    top = tuple(a.user(f"busy-{n}", 300, 800 + n) for n in range(5))
    return (
        a.cpu(at_ms, (number * 900.0,) * 16, runnable=range(20), top=top),
        a.memory(at_ms, major_faults=number),
        a.process_memory(at_ms, number),
        a.quota(at_ms, number * 200, number * 9, number * 800),
        a.pressure(at_ms, cpu=number),
        a.disk(at_ms, busy_ms=number * 500),
        a.latency(at_ms, reads=range(20), writes=range(20)),
        a.movers(at_ms, *(a.mover(f"busy-{n}", a_few, 800 + n) for n, a_few in enumerate(range(5)))),
        a.files(at_ms),
        samples.ProcessIo(a.at(at_ms), 4313, number, number, None),
        a.sockets(at_ms, *(a.socket(n, recv_q=n % 7, rtt_ns=MS) for n in range(256))),
        a.network(at_ms, sent_segments=number * 1000),
        a.connection(at_ms, number, setup_ns=MS),
        a.threads(at_ms, *(a.thread(n, "S", number * 3.0, number * 1.0) for n in range(256))),
        a.thread_time(at_ms, 256, lock=900),
        a.collector(at_ms, number * 10, *(a.cost(f"probe-{n}", number) for n in range(12))),
        a.slowed(at_ms, 2000, 1000),
        c.python(at_ms, held=((tid, number) for tid in range(64))),
        c.pause(at_ms, 1),
        c.sighted(at_ms, *((at_ms + n, n % 64, n % 2, False) for n in range(1000)), stacks=_STACKS),
    )
