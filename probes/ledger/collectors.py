"""Probes on the garbage collectors of the target's processes: set where a build allows it, taken away when they cost.

A probe is hit by every collection, also one of the youngest generation: 2.5 us each (a trap at its start, one at
its end). A program that collects thousands of times a second would pay for that, so its probes go.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes import roots
from perfwatch.probes.cpython.site import Site, collector_site
from perfwatch.probes.readers import uprobes
from perfwatch.probes.readers.mapped_file import open_mapped
from perfwatch.probes.readers.uprobes import Uprobe

if TYPE_CHECKING:
    from perfwatch.probes.readers.interpreter import Interpreter
    from perfwatch.probes.readers.libbpf import BpfObject

PROGRAMS: Final = ("on_gc_start", "on_gc_done")
COST_NS: Final = 2_500
"""Of one collection, for the target."""
MOST_SHARE: Final = 0.01
"""Of one CPU: a process whose collections cost more is left alone."""


class Collectors:
    """The probes of a process tree; to be closed."""

    def __init__(self, bpf: BpfObject) -> None:
        self._bpf = bpf
        self._links: dict[int, list[int]] = {}
        self._counted: dict[int, int] = {}
        self._since_ns = 0

    @property
    def pids(self) -> frozenset[int]:
        """The processes whose collections are told."""
        return frozenset(self._links)

    def watch(self, pid: int, interpreter: Interpreter) -> bool:
        """Set probes in a process; whether that was possible."""
        self.forget(pid)
        with suppress(OSError):
            fd = open_mapped(roots.PROC, pid, interpreter.mapping, os.fsencode(interpreter.path))
            try:
                site = collector_site(fd, interpreter.version or "")
                if site:
                    self._links[pid] = []
                    for program, probe in _probes(pid, fd, site):
                        self._links[pid].append(self._bpf.attach_uprobe(program, probe))
                    return True
            except OSError:
                self.forget(pid)
            finally:
                os.close(fd)
        return False

    def count(self, pid: int) -> None:
        """Take note of a collection."""
        self._counted[pid] = self._counted.get(pid, 0) + 1

    def drop_dear(self, now_ns: int) -> None:
        """Take away, about once a second, the probes that cost too much."""
        passed_ns = now_ns - self._since_ns
        if passed_ns < 1_000_000_000:  # noqa: PLR2004 - a second
            return
        counted, self._counted, self._since_ns = self._counted, {}, now_ns
        for pid, count in counted.items():
            if count * COST_NS > MOST_SHARE * passed_ns:
                self.forget(pid)

    def forget(self, pid: int) -> None:
        """Take the probes of a process away, if it has any."""
        uprobes.detach(self._links, (pid,))

    def close(self) -> None:
        """Take all away."""
        uprobes.detach(self._links, tuple(self._links))


class _Probe(NamedTuple):
    program: str
    uprobe: Uprobe


def _probes(pid: int, fd: int, site: Site) -> tuple[_Probe, _Probe]:
    start = Uprobe(pid, fd, site.start_offset, site.start_semaphore)
    if site.kind == "usdt":
        done = Uprobe(pid, fd, site.done_offset, site.done_semaphore)
    else:
        done = Uprobe(pid, fd, site.start_offset, is_return=True)
    return _Probe(PROGRAMS[0], start), _Probe(PROGRAMS[1], done)
