"""Who listens on an address: the sockets of a network namespace, and the processes that have them open.

A search is dear where a host has many processes (4 us a descriptor), so it goes step by step: `Search.steps` yields
after each, and can be left lying. It lists the namespaces, then the listening sockets of those that an address may be
in, then the descriptors of their processes until each socket is found. The process that forked the one found, and has
the socket open too, is the one that is named: of a prefork server its first process, not a worker.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import psutil

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, Unavailable, Vanished
from perfwatch.probes.readers import proc
from perfwatch.probes.readers.descriptors import sockets_of
from perfwatch.probes.readers.local_addresses import local_addresses
from perfwatch.probes.readers.sock_diag import LISTENING, SockDiag

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

MAX_PROCESSES: Final = 16_384
MAX_NAMESPACES: Final = 64
_MAX_ABOVE: Final = 16
_FIRST: Final = 1
_NOT_NOW: Final = (Vanished, Unavailable, Malformed, OSError)


class Search:
    """Looks once for who listens on some addresses, each as a process sees it; `found` has the PIDs."""

    def __init__(self, asked: Collection[tuple[int, str]]) -> None:
        """`asked` are (PID of the process that called, address)."""
        self.found: dict[tuple[int, str], int] = {}
        self._asked = tuple(asked)
        self._members: dict[int, list[int]] = {}  # of each network namespace, its processes
        self._own: dict[int, frozenset[str]] = {}
        self._doors: dict[int, tuple[tuple[str, int], ...]] = {}
        self._holder_of: dict[int, int] = {}

    def steps(self) -> Iterator[None]:
        """Search; a step takes some 10 us, that over one process's descriptors 4 us for each."""
        for pid in proc.processes()[:MAX_PROCESSES]:
            namespace = _namespace(pid)
            if namespace is not None:
                self._members.setdefault(namespace, []).append(pid)
            yield
        doors: dict[tuple[int, str], tuple[int, tuple[int, ...]]] = {}
        for question in self._asked:
            door = self._door(*question)
            if door is not None:
                doors[question] = door
            yield
        for namespace in {namespace for namespace, _ in doors.values()}:
            wanted = {inode for where, inodes in doors.values() if where == namespace for inode in inodes}
            yield from self._find_holders(namespace, wanted)
        for question, (_, inodes) in doors.items():
            holder = self._holder(inodes)
            if holder is not None:
                self.found[question] = holder
            yield

    def _door(self, pid: int, address: str) -> tuple[int, tuple[int, ...]] | None:
        """Return the namespace in which an address is, and the inodes of the sockets that listen there."""
        namespace = next((where for where, members in self._members.items() if pid in members), None)
        if namespace is not None and not address.startswith("unix:"):
            namespace = self._home(namespace, _host(address))
        if namespace is None:
            return None
        inodes = _matching(address, self._doors_of(namespace))
        return (namespace, inodes) if inodes else None

    def _home(self, namespace: int, host: str) -> int | None:
        """Return the namespace whose own address this is, as it is seen from one; None: nobody's, or several's."""
        if host.startswith("127.") or host in self._own_of(namespace):
            return namespace
        others = [other for other in list(self._members)[:MAX_NAMESPACES] if host in self._own_of(other)]
        return others[0] if len(others) == 1 and host != "::1" else None

    def _own_of(self, namespace: int) -> frozenset[str]:
        if namespace not in self._own:
            self._own[namespace] = frozenset()
            for pid in self._members[namespace][:2]:
                with suppress(*_NOT_NOW):
                    self._own[namespace] = local_addresses(roots.PROC / str(pid))
                    break
        return self._own[namespace]

    def _doors_of(self, namespace: int) -> tuple[tuple[str, int], ...]:
        """Return (address, inode) of all that listens in a namespace."""
        if namespace not in self._doors:
            self._doors[namespace] = ()
            for pid in self._members[namespace][:2]:
                with suppress(*_NOT_NOW), SockDiag(pid) as diag:
                    tcp = [(one.local, one.inode) for one in diag.tcp(states=LISTENING)]
                    unix = [(f"unix:{one.name}", one.inode) for one in diag.unix(states=LISTENING) if one.name]
                    self._doors[namespace] = (*tcp, *unix)
                    break
        return self._doors[namespace]

    def _find_holders(self, namespace: int, wanted: set[int]) -> Iterator[None]:
        # Process 1 may hold sockets for others, which it started (systemd): it is asked last.
        for pid in sorted(self._members[namespace], key=lambda one: (one == _FIRST, one)):
            if wanted <= self._holder_of.keys():
                return
            with suppress(*_NOT_NOW):
                for inode in wanted & sockets_of(pid).keys():
                    self._holder_of.setdefault(inode, pid)
            yield

    def _holder(self, inodes: Sequence[int]) -> int | None:
        """Return the one process that all these sockets are of: several, where workers open one each."""
        holders = {_first_of(self._holder_of[inode], inode) for inode in inodes if inode in self._holder_of}
        if len(holders) > 1:
            holders = {_parent(pid) for pid in holders} - {0, _FIRST}
        return holders.pop() if len(holders) == 1 else None


def _matching(address: str, doors: Sequence[tuple[str, int]]) -> tuple[int, ...]:
    """Return the inodes of the sockets that take calls to an address: those of this very one before those of any."""
    exact = tuple(inode for local, inode in doors if local == address)
    if exact or address.startswith("unix:"):
        return exact
    port = address.rpartition(":")[2]
    wild = (tuple(inode for local, inode in doors if local == f"{host}:{port}") for host in _any_host(address))
    return next(filter(None, wild), ())


def _any_host(address: str) -> tuple[str, ...]:
    return ("[::]",) if address.startswith("[") else ("0.0.0.0", "[::]")  # noqa: S104 - nothing is bound


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def _namespace(pid: int) -> int | None:
    try:
        return (roots.PROC / str(pid) / "ns" / "net").stat().st_ino
    except OSError:
        return None


def _first_of(pid: int, inode: int) -> int:
    """Return the ancestor of a process that has a socket open and none above it has."""
    for _ in range(_MAX_ABOVE):
        parent = _parent(pid)
        if parent <= _FIRST:
            break
        try:
            if inode not in sockets_of(parent):
                break
        except _NOT_NOW:
            break
        pid = parent
    return pid


def _parent(pid: int) -> int:
    try:
        return int(psutil.Process(pid).ppid())
    except psutil.Error:
        return 0
