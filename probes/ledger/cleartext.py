"""Probes on OpenSSL in the target's processes: with them a request over TLS has method, path and status.

They are hit by every call of SSL_read and SSL_write, also by those of connections that the process opened itself. A
process that calls so often that it would cost more than a fiftieth of a CPU is left alone, and that is said.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from perfwatch.probes import roots
from perfwatch.probes.probe import Availability
from perfwatch.probes.readers import uprobes
from perfwatch.probes.readers.mapped_file import open_mapped
from perfwatch.probes.readers.openssl import Library, find_openssl
from perfwatch.probes.readers.uprobes import Uprobe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.probes.readers.libbpf import BpfMap, BpfObject

PROGRAMS: Final = (
    "on_ssl_read",
    "on_ssl_read_ex",
    "on_ssl_read_done",
    "on_ssl_write",
    "on_ssl_shake",
    "on_ssl_shake_done",
)
COST_NS: Final = 1_700
"""Of one call, for the target: a trap at the start of each, and one at the end of those that read."""
STEPPED_COST_NS: Final = 11_000
"""Where the first instruction of a function is executed by a single step, on a virtual machine."""
MOST_SHARE: Final = 0.02
"""Of one CPU."""
LOOK_NS: Final = 5_000_000_000
"""A program may load OpenSSL late: looked for again, at most so often, when it is seen to speak TLS."""
LIMITED: Final = Availability(
    "limited",
    "this kernel has no uprobes on one process (Linux 6.6)",
    "method, path and status of requests over TLS; when the garbage collector ran",
    "a newer kernel",
)
_STARTS: Final = {
    "read": "on_ssl_read",
    "read_ex": "on_ssl_read_ex",
    "write": "on_ssl_write",
    "shake": "on_ssl_shake",
}
_ENDS: Final = {"read": "on_ssl_read_done", "read_ex": "on_ssl_read_done", "shake": "on_ssl_shake_done"}
_TOO_OLD: Final = "TLS: method and path are unknown; uprobes on one process need Linux 6.6"
_NOT_FOUND: Final = "TLS: method and path are unknown in process {pid}; it has no OpenSSL whose symbols are found"
_REFUSED: Final = "TLS: method and path are unknown in process {pid}; the kernel refuses uprobes on OpenSSL ({why})"
_TOO_DEAR: Final = "TLS: method and path are unknown in process {pid} from here on; it calls OpenSSL too often"


class ClearText:
    """The probes of a process tree; to be closed."""

    def __init__(self, bpf: BpfObject, *, is_wanted: bool = True) -> None:
        self._bpf, self._is_wanted = bpf, is_wanted
        self._calls: BpfMap | None = None
        self._links: dict[int, list[int]] = {}
        self._left_alone: set[int] = set()
        self._look_again: dict[int, int] = {}
        self._cost_ns: dict[int, int] = {}
        self._counted: dict[int, int] = {}
        self._since_ns = 0
        self._said: list[str] = []

    def open(self) -> None:
        """Be ready, once the programs are loaded."""
        self._calls = self._bpf.map("ssl_calls", 4, 8)

    @property
    def pids(self) -> frozenset[int]:
        """The processes whose requests can be read."""
        return frozenset(self._links)

    def watch(self, pid: int) -> None:
        """Set probes in a process that has OpenSSL."""
        if self._is_wanted and pid not in self._links and uprobes.are_possible():
            self._attach(pid, find_openssl(roots.PROC, pid))

    def miss(self, pid: int, now_ns: int) -> None:
        """Take note that a request was not read: its process may have loaded OpenSSL since it was looked at."""
        is_settled = pid in self._links or pid in self._left_alone or not self._is_wanted
        if is_settled or now_ns < self._look_again.get(pid, 0):
            return
        first = pid not in self._look_again
        self._look_again[pid] = now_ns + LOOK_NS
        self.watch(pid)
        if pid not in self._links and pid not in self._left_alone and first:
            self._said.append(_NOT_FOUND.format(pid=pid) if uprobes.are_possible() else _TOO_OLD)

    def reasons(self) -> list[str]:
        """Return what has to be said since the last time."""
        said, self._said = self._said, []
        return said

    def drop_dear(self, now_ns: int) -> None:
        """Take away, about once a second, the probes that cost too much."""
        passed_ns = now_ns - self._since_ns
        if passed_ns < 1_000_000_000:  # noqa: PLR2004 - a second
            return
        self._since_ns = now_ns
        for pid in list(self._links):
            total = self._total(pid)
            calls, self._counted[pid] = total - self._counted.get(pid, 0), total
            if calls * self._cost_ns[pid] > MOST_SHARE * passed_ns:
                self.forget(pid)
                self._left_alone.add(pid)
                self._said.append(_TOO_DEAR.format(pid=pid))

    def forget(self, pid: int) -> None:
        """Take the probes of a process away, if it has any."""
        uprobes.detach(self._links, (pid,))
        if self._calls:
            self._calls.delete(struct.pack("=I", pid))
        self._counted.pop(pid, None)
        self._cost_ns.pop(pid, None)
        self._look_again.pop(pid, None)
        self._left_alone.discard(pid)

    def close(self) -> None:
        """Take all away."""
        uprobes.detach(self._links, tuple(self._links))

    def _total(self, pid: int) -> int:
        value = self._calls.get(struct.pack("=I", pid)) if self._calls else None
        return int.from_bytes(value, "little") if value else 0

    def _attach(self, pid: int, libraries: list[Library]) -> None:
        if not libraries or self._calls is None:
            return
        self._links[pid] = links = []
        is_stepped = any(site.is_stepped for library in libraries for site in library.sites)
        self._cost_ns[pid] = STEPPED_COST_NS if is_stepped else COST_NS
        self._calls.put(struct.pack("=I", pid), bytes(8))
        try:
            for library in libraries:
                fd = open_mapped(roots.PROC, pid, library.range, os.fsencode(library.path))
                try:
                    links += [self._bpf.attach_uprobe(*each) for each in _probes(pid, fd, library)]
                finally:
                    os.close(fd)
        except OSError as error:
            self.forget(pid)
            self._left_alone.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, 0)
                self._said.append(_REFUSED.format(pid=pid, why=error.strerror))


def _probes(pid: int, fd: int, library: Library) -> Iterator[tuple[str, Uprobe]]:
    for site in library.sites:
        yield _STARTS[site.kind], Uprobe(pid, fd, site.offset)
        if site.kind in _ENDS:
            yield _ENDS[site.kind], Uprobe(pid, fd, site.offset, is_return=True)
