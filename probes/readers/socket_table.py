"""The stream sockets of a process tree, followed from reading to reading at the least cost.

To know a process's sockets its descriptors are read (4 us each); to know a host's sockets all are listed (1.5 us each);
to know one that was seen before it is asked for by its id (4 us, however many there are); to know those on one port
the kernel lets the others out (0.1 us each). So:

- a tree with few sockets has its descriptors read each time, and its known sockets asked for one by one; where there
  is a descriptor that was not seen before, the sockets on the tree's listening ports are listed, and all of the host's
  only if it is none of those;
- a tree with most of the host's sockets has them listed, and its descriptors read only where a socket is listed that
  was not seen before, and then but those that are known to be open still.

A socket that left the tree and lives on elsewhere is noticed after `ALL_ANEW` readings at the latest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.readers.descriptors import links_of, parse_socket
from perfwatch.probes.readers.diag_messages import LISTEN, InetMessage
from perfwatch.probes.readers.sock_diag import LISTENING, MAX_SOCKETS, DiagSocket, SockDiag, from_unix

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Mapping

FEW: Final = 256
LISTED_PER_ASKED: Final = 5
"""So many sockets are listed in the time in which one is asked for, and its descriptor read."""
ALL_ANEW: Final = 30
_MAX_DOORS: Final = 16
_MAX_PATIENCE: Final = 64
"""A descriptor that is no stream socket is looked up again, since it may have been connected: after one reading, two
more, four, and so on, and from then on after so many."""
_NAMELESS: Final = "unix:?"


class Owners:
    """Which process has which socket open."""

    def __init__(self) -> None:
        self.pid_of: Mapping[int, int] = {}
        """Inode of a socket -> the lowest PID that has it open."""
        self.forbidden: frozenset[int] = frozenset()
        """Processes whose descriptors may not be read."""
        self._open: dict[int, dict[int, int]] = {}

    def refresh(self, pids: Collection[int], live: Container[int] = ()) -> None:
        """Read the descriptors of these processes, but those that are known to be one of the `live` sockets."""
        opened: dict[int, dict[int, int]] = {}
        forbidden = set()
        for pid in sorted(pids):
            known = {number: inode for number, inode in self._open.get(pid, {}).items() if inode in live}
            try:
                opened[pid] = known | _sockets(pid, known)
            except Vanished:
                continue
            except Unavailable:
                forbidden.add(pid)
        self._open, self.forbidden = opened, frozenset(forbidden)
        pid_of: dict[int, int] = {}
        for pid, sockets in opened.items():
            for inode in sockets.values():
                pid_of.setdefault(inode, pid)
        self.pid_of = pid_of


class SocketTable:
    """The stream sockets of the processes of one network namespace; used by one thread."""

    def __init__(self, pid: int) -> None:
        """Of the namespace of a process; raises Vanished or Unavailable."""
        self.owners = Owners()
        self.tcp: Mapping[int, InetMessage] = {}
        """By inode; see `detailed` for the figures of TCP."""
        self.unix: Mapping[int, DiagSocket] = {}
        """By inode. Pairs without a name, which are pipes between or within processes, are left out."""
        self.is_cut = False
        """The namespace has more sockets than were read."""
        self._diag = SockDiag(pid)
        self._is_detailed = False
        self._pids: frozenset[int] = frozenset()
        self._others: frozenset[int] = frozenset()
        self._strangers: frozenset[int] = frozenset()
        self._host_count = 0
        self._readings = 0
        self._patience = 1
        self._look_again = 0

    def close(self) -> None:
        """Leave nothing behind."""
        self._diag.close()

    def read(self, pids: Collection[int]) -> None:
        """Bring `tcp` and `unix` up to date; raises Unavailable, Malformed."""
        if len(self.tcp) <= max(FEW, self._host_count // LISTED_PER_ASKED):
            self.owners.refresh(pids)
            if self._is_explained():
                self._ask()
            else:
                self._take(self._listed())
        else:
            listed = self._listed()
            self._find_owners(pids, {message.inode for message in listed if message.inode})
            self._take(listed)
        self._pids = frozenset(pids)
        self._readings += 1

    def detailed(self, inodes: Collection[int]) -> list[InetMessage]:
        """Return these sockets of `tcp` with TCP's own figures: asked for now, if they were only listed.

        Raises as `read`.
        """
        chosen = [self.tcp[inode] for inode in inodes]
        return chosen if self._is_detailed else self._asked(chosen)

    def _is_explained(self) -> bool:
        """Whether every socket among the descriptors is known; those that the tree has just accepted become so."""
        left = self.owners.pid_of.keys() - self.tcp.keys() - self.unix.keys()
        fresh = left - self._others
        if left and not fresh and self._readings >= self._look_again:
            self._patience = min(2 * self._patience, _MAX_PATIENCE)
            self._look_again = self._readings + self._patience
            return False
        doors = {message.port for message in self.tcp.values() if message.state == LISTEN}
        if fresh and 0 < len(doors) <= _MAX_DOORS:
            accepted = {message.inode: message for message in self._diag.tcp(ports=doors) if message.inode in fresh}
            self.tcp = {**self.tcp, **accepted}
            fresh -= accepted.keys()
        if fresh:
            self._patience, self._look_again = 1, self._readings + 1
        return not fresh

    def _ask(self) -> None:
        """Bring the known sockets up to date, one by one."""
        inodes = self.owners.pid_of.keys()
        found = self._asked([message for inode, message in self.tcp.items() if inode in inodes])
        self.tcp = {message.inode: message for message in found}
        self._is_detailed = True
        self.unix = self._unix_sockets(self.unix.keys() & inodes)

    def _find_owners(self, pids: Collection[int], live: set[int]) -> None:
        """Read descriptors, if a socket is listed that was not seen before or the processes are not the same."""
        if self._readings % ALL_ANEW == 0:
            self.owners.refresh(pids)
        elif frozenset(pids) != self._pids or not live - self._strangers <= self.owners.pid_of.keys():
            self.owners.refresh(pids, live)

    def _take(self, listed: list[InetMessage]) -> None:
        """Take the tree's sockets from all of the namespace."""
        inodes = self.owners.pid_of.keys()
        self.tcp = {message.inode: message for message in listed if message.inode in inodes}
        self._is_detailed = False
        self.unix = self._unix_sockets(inodes - self.tcp.keys())
        self._others = frozenset(inodes - self.tcp.keys() - self.unix.keys())
        self._strangers = frozenset(message.inode for message in listed if message.inode not in inodes)

    def _listed(self) -> list[InetMessage]:
        found = self._diag.tcp()
        self._host_count = len(found)
        self.is_cut = len(found) >= MAX_SOCKETS
        return found

    def _asked(self, sockets: Collection[InetMessage]) -> list[InetMessage]:
        """Return what is known now of these sockets that are still open; the listening ones are few, and listed."""
        inodes = {message.inode for message in sockets}
        found = self._diag.tcp_exactly(message for message in sockets if message.state != LISTEN)
        if any(message.state == LISTEN for message in sockets):
            found = [*self._diag.tcp(states=LISTENING, with_info=True), *found]
        return [message for message in found if message.inode in inodes]

    def _unix_sockets(self, inodes: Collection[int]) -> dict[int, DiagSocket]:
        if not inodes:
            return {}
        found = from_unix(self._diag.unix(), inodes)
        return {one.inode: one for one in found if one.local != _NAMELESS or one.peer not in (None, _NAMELESS)}


def _sockets(pid: int, known: Container[int]) -> dict[int, int]:
    """Return the sockets of a process: descriptor -> inode, but for the descriptors that are known."""
    found = ((number, parse_socket(link)) for number, link in links_of(pid, known))
    return {number: inode for number, inode in found if inode is not None}
