"""Who the target calls, where that is a process of this host: its PID and name.

It is shown what requests called, and looks for who listens there (`readers/doorkeepers.py`): once for each address, and
again where that process has ended, or after a minute where nobody was found. Source: NETLINK_SOCK_DIAG, /proc/PID/fd,
and /proc/PID/net for which addresses are this host's own. Needs root for other users' processes, and for containers.
Cost: nothing where nothing new is called; a search takes 10 us a process of the host, and 4 us a descriptor of those of
the namespace, in slices of 5 ms.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

from perfwatch.probes import roots
from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.probe import AVAILABLE, Availability
from perfwatch.probes.readers import proc
from perfwatch.probes.readers.doorkeepers import Search
from perfwatch.probes.readers.sock_diag import LISTENING, SockDiag
from perfwatch.probes.records import PeerProcess, ServedRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from types import TracebackType

    from perfwatch.probes.records import Record

MAX_ADDRESSES: Final = 512
MAX_ASKED: Final = 64
"""So many addresses are looked for at a time."""
SLICE_NS: Final = 5_000_000
AGAIN_NS: Final = 60_000_000_000
_NAME_BYTES: Final = 64
_NAMELESS: Final = "unix:?"

Question = tuple[int, str]
"""PID of a process of the target, and an address that it called."""


class PeersProbe:
    """Names the peers of the requests that it is shown."""

    name = "peers"
    period_s = 0.25

    def __init__(self, tree: Callable[[], Collection[int]]) -> None:
        """`tree` gives the PIDs that belong to the target at this moment."""
        self._tree = tree
        self._new: dict[Question, None] = {}
        self._told: dict[Question, int] = {}
        self._again_ns: dict[Question, int] = {}
        self._search: Search | None = None
        self._steps: Iterator[None] = iter(())
        self._asked: tuple[Question, ...] = ()

    def availability(self) -> Availability:
        """Look whether the kernel lists sockets."""
        try:
            with SockDiag() as diag:
                diag.tcp(states=LISTENING)
        except (Unavailable, Vanished) as why:
            remedy = why.remedy if isinstance(why, Unavailable) else None
            return Availability("unavailable", str(why), "the names of the processes that are called", remedy)
        return AVAILABLE

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._search, self._steps = None, iter(())

    def meet(self, records: Iterable[Record]) -> None:
        """Take note of whom requests called; 1 us a request."""
        for record in records:
            if isinstance(record, ServedRequest) and (record.calls or record.peers):
                addresses = {call.peer for call in record.calls}
                addresses.update(peer.address for peer in record.peers)
                for address in addresses:
                    self._note((record.pid, address))

    def read(self, now_ns: int) -> Sequence[Record]:
        """Search on, for 5 ms; returns whom a search that is done has found."""
        until_ns = time.monotonic_ns() + SLICE_NS
        if self._search is None:
            self._forget_ended()
            self._begin(now_ns)
        for _ in self._steps:
            if time.monotonic_ns() > until_ns:
                return ()
        return self._ended(now_ns)

    def _note(self, question: Question) -> None:
        is_known = any(question in known for known in (self._told, self._new, self._again_ns, self._asked))
        if not is_known and len(self._new) < MAX_ASKED and question[1] != _NAMELESS:
            self._new[question] = None

    def _begin(self, now_ns: int) -> None:
        self._again_ns = {question: at_ns for question, at_ns in self._again_ns.items() if at_ns > now_ns}
        if self._new:
            self._asked, self._new = tuple(self._new), {}
            self._search = Search(self._asked)
            self._steps = self._search.steps()

    def _ended(self, now_ns: int) -> list[Record]:
        if self._search is None:
            return []
        found, asked = self._search.found, self._asked
        self._search, self._asked = None, ()
        tree = frozenset(self._tree())
        records: list[Record] = []
        for question in asked:
            pid = found.get(question)
            name = None if pid is None else _name(pid)
            if pid is None or name is None:
                self._again_ns[question] = now_ns + AGAIN_NS
            else:
                self._told[question] = pid
                records.append(PeerProcess(now_ns, *question, pid, name, pid in tree))
        self._bound()
        return records

    def _forget_ended(self) -> None:
        """Ask anew who listens where the one that did has ended."""
        gone = {pid for pid in set(self._told.values()) if not (roots.PROC / str(pid)).exists()}
        if gone:
            self._told = {question: pid for question, pid in self._told.items() if pid not in gone}

    def _bound(self) -> None:
        """Forget what was learned first, where it is too much: it is asked again when it is called again."""
        for known in (self._told, self._again_ns):
            while len(known) > MAX_ADDRESSES:
                del known[next(iter(known))]


def _name(pid: int) -> str | None:
    """Return what the kernel calls a process; None if it has just ended."""
    try:
        return proc.text(proc.read(roots.PROC / str(pid) / "comm", _NAME_BYTES)).rstrip("\n")
    except (Unavailable, Vanished, OSError):
        return None
