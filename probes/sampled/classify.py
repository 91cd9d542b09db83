"""From a thread's files to its state: the same classes as the exact ledger's (ledger/blocked.bpf.h).

A thread that is not running sleeps in a system call, or outside of one on a page fault. Where the call may not be read
(another user, Yama) the wait channel tells some of it, which needs the same rights on most kernels; else the state is
`UNKNOWN`. Cost: 5 us for a thread, 15 us more where it waits on descriptors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.errors import Malformed, ProbeError, Unavailable, Vanished
from perfwatch.probes.readers.calls import CLASSES, NAMES, classes, name_of
from perfwatch.probes.readers.descriptors import link_of, parse_socket
from perfwatch.probes.readers.thread_formats import (
    parse_state,
    parse_syscall,
    parse_wchan,
    signed,
)
from perfwatch.probes.sampled.states import RUNNING, UNKNOWN, State
from perfwatch.probes.sampled.watched import Watched, read_epoll, read_poll, read_select

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.probes.readers.thread_files import ThreadFiles
    from perfwatch.probes.readers.thread_formats import (
        SystemCall,
    )
    from perfwatch.probes.sampled.sockets import Socket, SocketTable

MAX_UNRESOLVED: Final = 4096
_READS: Final = {"read", "readv", "recvmsg"}
_WRITES: Final = {"write", "writev", "sendmsg", "sendfile", "connect"}
_WATCHES: Final = {"poll", "select", "epoll"}
_ACCEPTS: Final = {"x86_64": {43, 288}, "aarch64": {202, 242}}
_STOPPED: Final = "Tt"
_OF_CHANNELS: Final = (("nanosleep", "sleep"), ("do_wait", "child"))
"""What a wait channel says for certain; a futex could be either kind of lock."""


class Classifier:
    """Tells states; keeps those whose sockets are not known yet, and settles them when they are."""

    def __init__(self, machine: str, sockets: SocketTable, runtime_of: Callable[[int], tuple[int, int] | None]) -> None:
        """`runtime_of` gives where a process's interpreter lock lies, at no cost."""
        self._machine = machine
        self._sockets = sockets
        self._runtime_of = runtime_of
        self._class_of = (
            {number: CLASSES[kind] for number, kind in classes(machine).items()} if machine in NAMES else {}
        )
        self._accepts = _ACCEPTS.get(machine, set())
        self._unresolved: list[tuple[State, list[tuple[int, bool]]]] = []

    def state(self, pid: int, files: ThreadFiles) -> State:
        """Return what a thread does; raises Vanished if it has ended."""
        try:
            call = parse_syscall(files.read("syscall"))
        except (Unavailable, Malformed):
            return _by_channel(files)
        if call is None:
            return RUNNING
        try:
            letter = parse_state(files.read("stat"))
        except (Unavailable, Malformed):
            return UNKNOWN
        if letter == "R":
            return RUNNING
        return self._asleep(pid, files, call, letter)

    def settle(self) -> None:
        """Look again for the sockets that were not known; what the new table does not have is gone for good."""
        unresolved, self._unresolved = self._unresolved, []
        for state, inodes in unresolved:
            self._resolve(state, inodes)

    def _asleep(self, pid: int, files: ThreadFiles, call: SystemCall, letter: str) -> State:
        kind = self._class_of.get(call.number, "other") if call.number >= 0 and call.arguments else "none"
        first = call.arguments[0] if call.arguments else 0
        state = State(call=name_of(self._machine, call.number), place=(call.number, call.stack, first))
        if letter in _STOPPED:
            state.bucket, state.detail = "other", "stopped"
        elif letter == "D":
            self._uninterruptible(pid, state, kind, first)
        elif kind == "futex":
            runtime = self._runtime_of(pid)
            is_gil = runtime is not None and runtime[0] <= first < runtime[1]
            state.bucket, state.detail = "gil" if is_gil else "lock", f"{first:#x}"
        elif kind in ("lock", "sleep"):
            state.bucket = "lock" if kind == "lock" else "sleep"
        elif kind == "wait":
            state.bucket = "child"
        elif kind == "none":
            state.bucket = "other"
        else:
            self._on_descriptors(pid, state, kind, call)
        if state.bucket == "other" and state.detail is None:
            state.detail = _channel(files)
        return state

    @staticmethod
    def _uninterruptible(pid: int, state: State, kind: str, first: int) -> None:
        if kind == "none":
            state.bucket = "fault"
        elif kind == "file" or (kind in _READS | _WRITES and _is_stored_file(pid, signed(first))):
            state.bucket = "disk"
        else:
            state.bucket = "child" if kind == "wait" else "other"

    def _on_descriptors(self, pid: int, state: State, kind: str, call: SystemCall) -> None:
        watched = self._watched(pid, kind, call)
        if watched is None:
            return  # which they are may not be known
        if not watched:
            state.bucket = "sleep" if kind in _WATCHES else "other"
            return
        inodes: list[tuple[int, bool]] = []
        for each in watched:
            try:
                inode = parse_socket(link_of(pid, each.fd))
            except Unavailable:
                return
            except (Vanished, ProbeError, OSError):
                continue
            if inode is not None:
                inodes.append((inode, each.writing))
        if inodes:
            self._resolve(state, inodes)
        else:
            state.bucket = "other"

    def _watched(self, pid: int, kind: str, call: SystemCall) -> list[Watched] | None:
        one, two, three = call.arguments[:3]
        if kind == "poll":
            return read_poll(pid, one, two) if two else []
        if kind == "select":
            return read_select(pid, one, two, three) if one and (two or three) else []
        if kind == "epoll":
            return read_epoll(pid, signed(one))
        if kind in _READS or kind in _WRITES or call.number in self._accepts:
            return [Watched(signed(one), kind in _WRITES)]
        return []

    def _resolve(self, state: State, inodes: list[tuple[int, bool]]) -> None:
        """Fill in the state from its sockets: of several, a wait for a peer tells most."""
        found = [(socket, writing) for inode, writing in inodes if (socket := self._sockets.socket(inode))]
        if len(found) < len(inodes) and len(self._unresolved) < MAX_UNRESOLVED:
            self._unresolved.append((state, inodes))
        if len(found) == len(inodes) or any(socket.role == "listening" for socket, _ in found):
            _tell(state, found)


def _tell(state: State, sockets: list[tuple[Socket, bool]]) -> None:
    """Say what a wait on these sockets is: of several, a wait for a peer tells most, but for a loop that serves all."""
    roles = {socket.role for socket, _ in sockets}
    state.connections = tuple((each.local, each.peer) for each, _ in sockets if each.role == "accepted" and each.peer)
    state.accepts = "listening" in roles
    state.is_loop = "accepted" in roles and len(sockets) > 1
    state.waits_for_work = "listening" in roles or not any(writing for _, writing in sockets)
    if "connected" in roles:
        state.bucket = "calls"
        state.peer = next(socket.peer for socket, _ in sockets if socket.role == "connected")
        state.waits_for_work = state.is_loop or "listening" in roles
    elif "accepted" in roles:
        state.bucket = "send" if all(writing for each, writing in sockets if each.role == "accepted") else "receive"
    else:
        state.bucket = "other"


def _is_stored_file(pid: int, fd: int) -> bool:
    """Whether a descriptor leads to a path, and not to a socket, a pipe or a device; it is not followed there."""
    try:
        link = link_of(pid, fd)
    except (ProbeError, OSError):
        return False
    return link.startswith(b"/") and not link.startswith(b"/dev/")


def _channel(files: ThreadFiles) -> str | None:
    try:
        return parse_wchan(files.read("wchan"))
    except (Vanished, Unavailable):
        return None


def _by_channel(files: ThreadFiles) -> State:
    """Tell what can be told without the system call; raises Vanished."""
    try:
        letter = parse_state(files.read("stat"))
    except (Unavailable, Malformed):
        return UNKNOWN
    if letter == "R":
        return RUNNING
    channel = _channel(files) or ""
    bucket = next((bucket for part, bucket in _OF_CHANNELS if part in channel), None)
    return State("sleep" if bucket == "sleep" else "child") if bucket else UNKNOWN
