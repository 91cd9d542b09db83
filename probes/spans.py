"""What the middleware in the target tells of its requests, over Unix sockets that only the target's user can open.

Who sent a message says the kernel (SO_PASSCRED): only processes of the target's tree are listened to. What it says is
checked by span_messages.py. One message costs 10 us, one with a large call tree 0.4 ms; a reading takes at most
5 ms of them, however many there are: what is left waits in the senders' buffers, and what these do not take the
middleware drops, counts, and tells with the next one.
"""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter, deque
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import msgspec

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, ProbeError, Vanished
from perfwatch.probes.probe import AVAILABLE, Availability
from perfwatch.probes.readers.doors import BACKLOG, Door
from perfwatch.probes.readers.proc import read, text
from perfwatch.probes.readers.span_messages import MAX_BYTES, parse_message, span_of
from perfwatch.probes.records import Loss

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from types import TracebackType

    from perfwatch.probes.frames import Span
    from perfwatch.probes.records import Record

MAX_SENDERS: Final = 256
MAX_PER_PROCESS: Final = 4
"""Connections; the middleware has one."""
MAX_DOORS: Final = 8
MAX_LOOKED_AT: Final = 64
READING_NS: Final = 5_000_000
LOOK_NS: Final = 1_000_000_000
"""Between two looks for processes of another user."""
MAX_TREES: Final = 64
"""In such a time; the middleware makes less."""
_ROOT: Final = 0
_EFFECTIVE: Final = 1
_CREDENTIALS: Final = struct.Struct("3i")
_ANCILLARY: Final = socket.CMSG_SPACE(_CREDENTIALS.size)
"""Room for these alone: descriptors that somebody sends along are closed by the kernel."""
_DROPPED: Final = "the middleware could not send them: its socket was full"


class _Sender(NamedTuple):
    """A connection, and who made it."""

    connection: socket.socket
    pid: int
    uid: int
    is_inner: bool
    """It counts its threads in a PID namespace of its own."""


class SpansProbe:
    """Listens to at most 256 connections from processes of at most 8 users."""

    name = "spans"
    period_s = 0.05

    def __init__(self, tree: Callable[[], Collection[int]]) -> None:
        """`tree` gives the PIDs that belong to the target at this moment."""
        self._tree = tree
        self._doors: dict[int, Door] = {}
        """By user."""
        self._refused: set[int] = set()
        self._senders: deque[_Sender] = deque()
        self._buffer = bytearray(MAX_BYTES)
        self._look_ns = self._trees = 0
        self._lost: Counter[str] = Counter()

    def availability(self) -> Availability:
        """Say that it runs everywhere: whether there is a place for its socket shows when it is entered."""
        return AVAILABLE

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._close)
            for uid, pid in self._new_users():
                with suppress(Vanished):
                    self._doors[uid] = Door(pid, uid)
            if not self._doors:
                raise Vanished("the target has ended")
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def read(self, now_ns: int) -> Sequence[Record]:
        """Return the spans that came since the last call; each is as old as its request's end."""
        if now_ns >= self._look_ns:
            self._look_ns = now_ns + LOOK_NS
            self._trees = 0
            self._open_more()
        pids = frozenset(self._tree())
        for uid, door in self._doors.items():
            self._accept(door, uid, pids)
        records: list[Record] = list(self._receive(pids))
        records += (Loss(now_ns, self.name, lost, reason) for reason, lost in self._lost.items())
        self._lost.clear()
        return records

    def _new_users(self) -> Iterator[tuple[int, int]]:
        """Give each user of the tree that has no door yet, with a process of his."""
        seen = self._doors.keys() | self._refused
        for pid in sorted(self._tree())[:MAX_LOOKED_AT]:
            uid = _user_of(pid)
            if uid is not None and uid not in seen and len(seen) < MAX_DOORS:
                seen.add(uid)
                yield uid, pid

    def _open_more(self) -> None:
        """Open doors for users that came later: a server's workers that gave up being root."""
        for uid, pid in self._new_users():
            try:
                self._doors[uid] = Door(pid, uid)
            except Vanished:
                continue
            except ProbeError as error:
                self._refused.add(uid)
                self._lost[str(error)] += 1

    def _accept(self, door: Door, uid: int, pids: frozenset[int]) -> None:
        for _ in range(BACKLOG):
            try:
                connection, _ = door.listener.accept()
            except OSError:
                return
            pid = _credentials(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0]
            count = sum(sender.pid == pid for sender in self._senders)
            if pid not in pids or count >= MAX_PER_PROCESS or len(self._senders) >= MAX_SENDERS:
                connection.close()  # the middleware calls again in a second
                continue
            connection.settimeout(0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._senders.append(_Sender(connection, pid, uid, _is_inner(pid)))

    def _receive(self, pids: frozenset[int]) -> Iterator[Span]:
        """Take one message of each sender in turn, while there are any, and there is time."""
        until_ns = time.perf_counter_ns() + READING_NS
        silent = 0
        while silent < len(self._senders) and time.perf_counter_ns() < until_ns:
            sender = self._senders[0]
            self._senders.rotate(-1)
            try:
                yield self._take(sender, pids)
                silent = 0
            except BlockingIOError:
                silent += 1
            except Malformed as error:
                self._lost[str(error)] += 1
            except OSError:
                self._senders.pop()
                sender.connection.close()

    def _take(self, sender: _Sender, pids: frozenset[int]) -> Span:
        """Take a message; raises OSError where the connection has ended, or is to end."""
        size, ancillary, flags, _ = sender.connection.recvmsg_into([self._buffer], _ANCILLARY)
        if not size:
            raise ConnectionResetError
        pid, uid, _ = next(
            (_credentials(data) for _, kind, data in ancillary if kind == socket.SCM_CREDENTIALS), (0, -1, -1)
        )
        if pid not in pids or uid not in (sender.uid, _ROOT):
            raise PermissionError
        if flags & socket.MSG_TRUNC:
            raise Malformed("a message that is too long")
        message = parse_message(memoryview(self._buffer)[:size])
        if message.dropped:
            self._lost[_DROPPED] += message.dropped
        if message.spent_ns and not self._has_room_for_tree():
            message = msgspec.structs.replace(message, frames=(), stacks=(), spent_ns=())
        return span_of(message, pid=pid, is_inner=sender.is_inner, now_ns=time.monotonic_ns())

    def _has_room_for_tree(self) -> bool:
        """Count a tree, and whether it is kept."""
        self._trees += 1
        if self._trees > MAX_TREES:
            self._lost["too many call trees in a second"] += 1
        return self._trees <= MAX_TREES

    def _close(self) -> None:
        while self._senders:
            self._senders.pop().connection.close()
        while self._doors:
            self._doors.popitem()[1].close()


def _credentials(data: bytes) -> tuple[int, int, int]:
    """Return PID, user and group; what is no such thing is nobody's."""
    if len(data) != _CREDENTIALS.size:
        return 0, -1, -1
    pid, uid, gid = _CREDENTIALS.unpack(data)
    return pid, uid, gid


def _user_of(pid: int) -> int | None:
    """Return the user whose rights a process has; None where it has ended, or is hidden.

    Not the owner of /proc/PID: of a process that gave up being root that is root.
    """
    users = _status(pid).get("Uid", [])
    return int(users[_EFFECTIVE]) if len(users) > _EFFECTIVE else None


def _is_inner(pid: int) -> bool:
    """Whether a process has another PID in a namespace of its own."""
    return len(_status(pid).get("NSpid", [])) > 1


def _status(pid: int) -> dict[str, list[str]]:
    """Return the lines of /proc/PID/status: `Uid:	1000	1000	1000	1000` has real and effective user first."""
    try:
        lines = text(read(roots.PROC / str(pid) / "status")).splitlines()
    except (ProbeError, OSError):
        return {}
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
