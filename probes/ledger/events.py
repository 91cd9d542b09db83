"""The ledger's events, from the bytes of layout.bpf.h to values: pure.

Structs are declared as tables of (field, struct code); a leading `size` in each event is checked against them, so that
the two sides cannot drift apart unnoticed. Byte order and alignment are those of the machine.
"""

from __future__ import annotations

import re
import struct
import zlib
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import msgspec

from perfwatch.probes.errors import Malformed
from perfwatch.probes.ledger.addresses import ADDRESS, ENDS, Address, parse_ends
from perfwatch.probes.ledger.code_events import (
    FRAMES,
    MOST_STACK_BYTES,
    PAUSE,
    PYTHON,
    STACK,
    WAITED,
    PauseEvent,
    StackEvent,
    parse_pause,
    parse_stack,
    stack_frames,
)
from perfwatch.probes.ledger.frame_events import FRAME_BYTES, FrameEvent, parse_frame
from perfwatch.probes.ledger.step_events import ANSWERED as STEP_ANSWERED
from perfwatch.probes.ledger.step_events import STEP_BYTES, WHOSE, StepEvent, parse_step, with_more
from perfwatch.probes.records import BUCKETS, MAX_TARGET_CHARS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.probes.records import Protocol

EVENT_REQUEST, EVENT_WAIT, EVENT_FORK, EVENT_EXEC, EVENT_EXIT, EVENT_STACK, EVENT_GC, EVENT_STEP = range(1, 9)
EVENT_FRAME: Final = 9
ANSWERED, SHARED, SEVERAL, DIED, ABORTED, FINAL, RESET, BY_STEPS, DOUBTFUL = (1 << bit for bit in range(9))

CLOSED_AFTER_NS: Final = 100_000_000
"""A request is closed provisionally after this long without activity."""
BOOKED: Final = 16  # enum bucket: padded to a power of two
THROTTLED: Final = 14  # of it: how much of `run_queue` was the quota's
GC: Final = 15  # and how much of `on_cpu` was the garbage collector's
PEERS: Final = 4
STACK_DEPTH: Final = 12
_PEER: Final = ADDRESS + "QQ"
_WHO: Final = "IIQ16s"

_FRONT: Final = struct.Struct(f"=8xQQ8xIIQQQQQIIII{ENDS.size}s")
_LEDGER: Final = struct.Struct(f"={BOOKED}Q{_PEER * PEERS}")
_STATUS_BYTES: Final = 16
REQUEST_BYTES: Final = _FRONT.size + _LEDGER.size + _STATUS_BYTES
HEAD_BYTES: Final = 256
"""Follow a request in the map; in an event as many as were read."""
_OWN: Final = struct.Struct("=QQIHH")
"""What follows the head: the kernel's own, and then the first bytes of the answer, of which it says how many."""
_ANSWER_AT: Final = REQUEST_BYTES + HEAD_BYTES + _OWN.size
ANSWER_BYTES: Final = 512
LARGE_BYTES: Final = 8192
MOST_REQUEST_BYTES: Final = _ANSWER_AT + ANSWER_BYTES
"""What it has in the map."""
PROTOCOLS: Final[tuple[Protocol, ...]] = ("http/1", "tls")
"""enum protocol"""
WAIT: Final = struct.Struct(f"=IIQIIQQQQIiQ{ADDRESS}{_WHO * 2}{STACK_DEPTH}QQ")
PROCESS: Final = struct.Struct("=IIQII")
THREAD: Final = struct.Struct(
    f"=QQQQQQQIIiIQ{ADDRESS}QII{_WHO * 2}{BOOKED}Q{_PEER * PEERS}{STACK_DEPTH}QQQIHHQQQQQ"
    f"QQQ{PYTHON.size}sII{WAIT.size}s{MOST_STACK_BYTES}sII"
)
TARGET: Final = struct.Struct(f"=QQQ{PYTHON.size}s")
LISTENER: Final = struct.Struct(f"=QIIIIQ{ADDRESS}")
KEEPER: Final = 1 << 63
"""Stands for the request in the waits, and stacks, of a thread that serves none and keeps others waiting."""
NO_LINE: Final = 0xCBF29CE484222325
"""The kernel's hash of a first line that it has not seen (FNV-1a of nothing)."""
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d{1,4})(?:\r\n|\Z)")
_END_OF_PATH: Final = re.compile(rb"[?#;]")
_U64: Final = struct.Struct("=Q")
_EVENT: Final = struct.Struct("=II")  # size, kind
_STAGE: Final = struct.Struct("=IIIIH")  # flags, head_length, nth, protocol, the local address's family
_NOTHING: Final = (0,) * BOOKED
_THREAD_BOOKED: Final = 27
_LOOPS: Final = _THREAD_BOOKED + BOOKED + 6 * PEERS + STACK_DEPTH + 1
_PID: Final = _LOOPS + 13
UNIX_NAME_BYTES: Final = 128
RUNNING, BLOCKED, PREEMPTED = range(3)


class PeerTime(NamedTuple):
    """What a request waited for one peer."""

    address: Address
    wait_ns: int
    waits: int


class RequestEvent(msgspec.Struct, frozen=True, gc=False):
    """One request: finished (an event) or as it stands (an entry of the map)."""

    id: int
    connection: int
    pid: int
    tid: int
    arrived_ns: int | None
    started_ns: int
    ended_ns: int
    received_bytes: int
    sent_bytes: int
    flags: int
    local: Address
    remote: Address
    booked_ns: tuple[int, ...]
    throttled_ns: int
    gc_ns: int
    peers: tuple[PeerTime, ...]
    status: bytes
    head: bytes
    protocol: Protocol
    grpc_status: int | None = None
    answer: bytes = b""
    """What a large answer began with."""


class Who(NamedTuple):
    """A thread, and the request that it served."""

    pid: int
    tid: int
    request: int
    name: str


class WaitEvent(msgspec.Struct, frozen=True):
    """One long wait of a thread that serves a request."""

    request: int
    pid: int
    tid: int
    started_ns: int
    blocked_ns: int
    runnable_ns: int
    throttled_ns: int
    bucket: int
    call: int
    futex: int
    peer: Address
    waker: Who | None
    ahead: Who | None
    stack: tuple[int, ...]
    woken_ns: int


class ProcessEvent(NamedTuple):
    """A process of the tree was forked, executed a program, or ended."""

    kind: int
    at_ns: int
    pid: int
    parent: int


class ThreadState(NamedTuple):
    """What a thread that serves a request does now, and its ledger up to `since_ns`."""

    request: int
    since_ns: int
    state: int
    bucket: int
    call: int
    futex: int
    peer: Address
    booked_ns: tuple[int, ...]
    throttled_ns: int
    gc_ns: int
    loops: bool
    idles: bool
    """It is an event loop that waits for whatever comes."""
    waits_at: StackEvent | None
    """Where in its code it blocks, while it does."""


RareEvent: TypeAlias = WaitEvent | StackEvent | PauseEvent | ProcessEvent | FrameEvent
Event: TypeAlias = StepEvent | RequestEvent | RareEvent


def parse_events(told: Iterable[bytes]) -> list[Event]:
    """Read the events of the ring buffer, in order; raises Malformed.

    An answer that was written in pieces, most often a head and a body, with nothing told in between, is one step.
    """
    events: list[Event] = []
    answer, whose = None, b""  # the last event, if it is one
    for data in told:
        size, kind = _EVENT.unpack_from(data)
        if kind != EVENT_STEP or size != STEP_BYTES:
            answer = None
            events.append(_parse_event(data, kind, size))
        elif answer and data[WHOSE] == whose and (more := with_more(answer, data)):
            events[-1] = answer = more
        else:  # most of all, where there is an event loop
            step = parse_step(data)
            answer, whose = (step, data[WHOSE]) if step.step == STEP_ANSWERED else (None, b"")
            events.append(step)
    return events


def _parse_event(data: bytes, kind: int, size: int) -> Event:
    """Read one that is no step; raises Malformed if it is none of ours."""
    if kind == EVENT_REQUEST and size == MOST_REQUEST_BYTES:
        return parse_request(data)
    if kind == EVENT_WAIT and size == WAIT.size:
        return _parse_wait(data)
    if kind == EVENT_STACK and size == MOST_STACK_BYTES:
        return parse_stack(data)
    if kind == EVENT_GC and size == PAUSE.size:
        return parse_pause(data)
    if kind == EVENT_FRAME and size == FRAME_BYTES:
        return parse_frame(data)
    if EVENT_FORK <= kind <= EVENT_EXIT and size == PROCESS.size:
        _, _, at_ns, pid, parent = PROCESS.unpack_from(data)
        return ProcessEvent(kind, at_ns, pid, parent)
    raise Malformed(f"event of kind {kind} with {size} bytes")


class RequestStage(NamedTuple):
    """How far a request is: all that is asked of most entries of the map."""

    id: int
    ended_ns: int
    flags: int
    family: int


def parse_stage(data: bytes) -> RequestStage:
    """Read the little of `struct request` that says how far it is; 0.5 us, a tenth of all of it."""
    (id_,), (ended_ns,) = _U64.unpack_from(data, 8), _U64.unpack_from(data, 56)
    flags, _, _, _, family = _STAGE.unpack_from(data, 80)
    return RequestStage(id_, ended_ns, flags, family)


def parse_request(data: bytes) -> RequestEvent:
    """Read `struct request`; raises Malformed if it is shorter than it must be."""
    if len(data) < REQUEST_BYTES:
        raise Malformed(f"a request of {len(data)} bytes")
    (id_, connection, pid, tid, arrived_ns, started_ns, ended_ns, received, sent, flags, head_length, nth, protocol,
     ends) = _FRONT.unpack_from(data)  # fmt: skip
    booked, peers = (_NOTHING, ()) if flags & BY_STEPS else _parse_ledger(data)
    head = data[REQUEST_BYTES : REQUEST_BYTES + head_length]
    return RequestEvent(  # in their order
        id_,
        connection,
        pid,
        tid,
        arrived_ns or None,
        started_ns,
        ended_ns,
        received,
        sent,
        flags,
        *parse_ends(ends),
        booked[: len(BUCKETS)],
        booked[THROTTLED],
        booked[GC],
        peers,
        data[REQUEST_BYTES - _STATUS_BYTES : REQUEST_BYTES],
        nth_head(head, nth) if nth else head,
        PROTOCOLS[protocol],
        None,
        _answer(data) if sent >= LARGE_BYTES and len(data) > _ANSWER_AT else b"",
    )


def _answer(data: bytes) -> bytes:
    """Return the first bytes of an answer, where they came along."""
    length = _OWN.unpack_from(data, REQUEST_BYTES + HEAD_BYTES)[2]
    return data[_ANSWER_AT : _ANSWER_AT + min(length, ANSWER_BYTES)]


def _parse_ledger(data: bytes) -> tuple[tuple[int, ...], tuple[PeerTime, ...]]:
    """Read `struct ledger`: what a request's one thread did; one that is told by steps has none of its own."""
    f = _LEDGER.unpack_from(data, _FRONT.size)
    peers = (f[at : at + 6] for at in range(BOOKED, BOOKED + 6 * PEERS, 6)) if f[BOOKED] else ()
    told = tuple(PeerTime(Address(peer[0], peer[1], peer[3]), peer[4], peer[5]) for peer in peers if peer[0])
    return f[:BOOKED], told


def _parse_wait(data: bytes) -> WaitEvent:
    f = WAIT.unpack_from(data)
    return WaitEvent(
        request=f[2],
        pid=f[3],
        tid=f[4],
        started_ns=f[5],
        blocked_ns=f[6],
        runnable_ns=f[7],
        throttled_ns=f[8],
        bucket=f[9],
        call=f[10],
        futex=f[11],
        peer=Address(f[12], f[13], f[15]),
        waker=_who(*f[16:20]),
        ahead=_who(*f[20:24]),
        stack=tuple(takewhile(bool, f[24 : 24 + STACK_DEPTH])),
        woken_ns=f[24 + STACK_DEPTH],
    )


def _who(pid: int, tid: int, request: int, name: bytes) -> Who | None:
    return Who(pid, tid, request, name.split(b"\0", 1)[0].decode(errors="replace")) if pid else None


def parse_thread(data: bytes) -> ThreadState:
    """Read `struct thread`."""
    f = THREAD.unpack_from(data)
    return ThreadState(
        request=f[0],
        since_ns=f[2],
        state=f[7],
        bucket=f[8],
        call=f[9],
        futex=f[11],
        peer=Address(f[12], f[13], f[15]),
        booked_ns=f[_THREAD_BOOKED : _THREAD_BOOKED + len(BUCKETS)],
        throttled_ns=f[_THREAD_BOOKED + THROTTLED],
        gc_ns=f[_THREAD_BOOKED + GC],
        loops=bool(f[_LOOPS]),
        idles=f[7] == BLOCKED and bool(f[_LOOPS + 5]),
        waits_at=_waits_at(f[0], f[2], f[_PID], f[_PID + 1], f[-3]) if f[7] == BLOCKED else None,
    )


def _waits_at(request: int, since_ns: int, pid: int, tid: int, data: bytes) -> StackEvent | None:
    """Read where a thread blocks; not yet filled in are those fields that only the event has."""
    count = min(STACK.unpack_from(data)[7], FRAMES)
    return StackEvent(request, since_ns, pid, tid, WAITED, 0, stack_frames(data, count)) if count else None


class ListenerState(NamedTuple):
    """A listening socket of the target; depths since they were last cleared."""

    address: Address
    backlog: int
    backlog_max: int
    recv_q: int


def parse_listener(data: bytes) -> ListenerState:
    """Read `struct listener`."""
    _, backlog, limit, recv_q, _, _, family, port, _, address = LISTENER.unpack_from(data)
    return ListenerState(Address(family, port, address), backlog, limit, recv_q)


def cleared_listener(data: bytes) -> bytes:
    """Return `struct listener` with its depths 0: from here on the deepest of the next second."""
    key, _, limit, _, *rest = LISTENER.unpack(data)
    return LISTENER.pack(key, 0, limit, 0, *rest)


def nth_head(data: bytes, nth: int) -> bytes:
    """Return what begins the request after `nth` others that came in one read; empty where that is not among it."""
    for _ in range(nth):
        head, _, data = data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        data = data[int(length[1]) if length else 0 :]
    return data


def line_kind(head: bytes) -> int:
    """Return a number that is the same for requests of one method and path, but for digits, as the kernel's hash."""
    method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    return zlib.crc32(method + b" " + path.translate(None, b"0123456789"))


def parse_request_line(head: bytes) -> tuple[str | None, str | None]:
    """Take method and path from the first bytes of a request; what follows the path is dropped here and kept nowhere.

    The query, the fragment and path parameters (`;jsessionid=...`) go: they carry tokens. A path that is longer than
    what was read ends in `…`.
    """
    line, complete, _ = head.partition(b"\r\n")
    method, space, rest = line.partition(b" ")
    if not space or not method.isalpha():
        return None, None
    target, ended, _ = rest.partition(b" ")
    return _method(method), _target(target, not (ended or complete))


@lru_cache(maxsize=64)
def _method(method: bytes) -> str:
    return method.decode()


def _target(target: bytes, cut: bool) -> str:  # noqa: FBT001 - the cache asks for it
    """Drop what follows a path."""
    if target[:7].lower() == b"http://":
        target = b"/" + target[7:].partition(b"/")[2]
    end = _END_OF_PATH.search(target)
    return _path(target[: end.start()], False) if end else _path(target, cut)  # noqa: FBT003


@lru_cache(maxsize=1024)
def _path(path: bytes, cut: bool) -> str:  # noqa: FBT001
    text = path.decode(errors="replace")[:MAX_TARGET_CHARS]
    return text + "…" if cut else text


@lru_cache(maxsize=256)
def parse_status(status: bytes) -> int | None:
    """Take the status code from the first bytes of a response (`HTTP/1.1 200 OK`); None if they are none."""
    if not status.startswith((b"HTTP/1.", b"HTTP/2.")) or not status[9:12].isdigit():
        return None
    return int(status[9:12])
