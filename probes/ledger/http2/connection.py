"""One connection that speaks HTTP/2: its streams, each a request from its headers to the end of its answer.

What passes through OpenSSL is told before it is written, and after it was read: when it was on the socket, and by whom,
tells the event about the records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from perfwatch.probes.ledger import events as ev
from perfwatch.probes.ledger import frame_events as frames
from perfwatch.probes.ledger import step_events as steps
from perfwatch.probes.ledger.following.jobs import NOTHING
from perfwatch.probes.ledger.http2.blocks import Blocks
from perfwatch.probes.ledger.step_events import StepEvent
from perfwatch.probes.records import BUCKETS

if TYPE_CHECKING:
    from perfwatch.probes.ledger.frame_events import FrameEvent
    from perfwatch.probes.ledger.http2.blocks import Block
    from perfwatch.probes.records import Protocol

MOST_STREAMS: Final = 4096
"""That are open at a time; HTTP/2 peers agree on some hundred."""
STREAM_PAUSE_NS: Final = 1_000_000
_BLOCKS: Final = {frames.HEADERS, frames.PUSH, frames.CONTINUATION}
_UNKNOWN: Final = b"?"


class Forgotten(NamedTuple):
    """The kernel took the first bytes of a connection for a request, and told a step of it."""

    request: int


class Begun(NamedTuple):
    """A request begins with this step."""

    step: StepEvent
    line: bytes


Told: TypeAlias = "StepEvent | Begun | ev.RequestEvent | Forgotten"


class Stream:
    """One request."""

    __slots__ = (
        "arrived_ns",
        "code",
        "ended_ns",
        "grpc_status",
        "id",
        "is_by_lane",
        "is_events",
        "method",
        "path",
        "pid",
        "protocol",
        "received_bytes",
        "sent_bytes",
        "started_ns",
        "tid",
    )

    def __init__(self, opened: FrameEvent, since_ns: int, at_ns: int) -> None:
        self.id = opened.request
        self.pid, self.tid = opened.pid, opened.tid
        self.arrived_ns, self.started_ns, self.ended_ns = since_ns or None, at_ns, 0
        self.method: bytes | None = None
        self.path: bytes | None = None
        self.protocol: Protocol = "http/2"
        self.code: int | None = None
        self.grpc_status: int | None = None
        self.received_bytes = self.sent_bytes = 0
        self.is_events = False
        self.is_by_lane = True
        """Whoever read it, and whoever answered so far, tells what he does step by step."""

    @property
    def line(self) -> bytes:
        """What stands for the first bytes of a request; empty where its headers could not be read."""
        return self.method + b" " + self.path + b" HTTP/2\r\n" if self.method and self.path else b""

    def asked(self, headers: dict[bytes, bytes]) -> None:
        """Take in the headers of the request."""
        self.method, self.path = headers.get(b":method"), headers.get(b":path")
        self._is_grpc(headers)

    def answers(self, headers: dict[bytes, bytes]) -> None:
        """Take in headers of the answer, or those at its end."""
        self._is_grpc(headers)
        status = headers.get(b":status", b"")
        if status.isdigit() and len(status) == 3:  # noqa: PLR2004 - digits
            self.code = int(status)
        self.is_events = self.is_events or headers.get(b"content-type", b"").startswith(b"text/event-stream")
        status = headers.get(b"grpc-status", b"")
        if status.isdigit() and len(status) <= 3:  # noqa: PLR2004
            self.grpc_status = int(status)

    def _is_grpc(self, headers: dict[bytes, bytes]) -> None:
        if headers.get(b"content-type", b"").startswith(b"application/grpc"):
            self.protocol = "grpc"


class Connection:
    """Follows one; `take` returns what is to be told of it."""

    def __init__(self, opened: FrameEvent) -> None:
        self.key, self.pid = opened.connection, opened.pid
        self._local, self._remote = opened.ends()
        is_joined = not opened.flags
        self._asked, self._answered = Blocks(is_joined=is_joined), Blocks(is_joined=is_joined)
        self._is_in_the_dark = bool(opened.way & frames.IN_THE_DARK)
        self._read = opened  # the records that were read last
        self._unsent: list[FrameEvent | Block] = []
        self._write = (0, 0)  # the last one of a thread that answers what others read
        self._written: set[Stream] = set()  # streams that it was about
        self._over: list[tuple[Stream, int]] = []  # that ended with it, not told yet
        self.streams: dict[int, Stream] = {}

    def take(self, event: FrameEvent) -> list[Told]:
        """Take in the next event of this connection."""
        if event.type == frames.RECORDS:
            return self._records(event)
        if event.type == frames.CLOSED:
            return self.close(event.at_ns, ev.ABORTED)
        blocks = self._answered if event.way & frames.FROM_SERVER else self._asked
        piece: FrameEvent | Block | None = blocks.take(event) if event.type in _BLOCKS else event
        if piece is None:
            return []
        self._add_untold(_frame_of(piece))
        if not event.way & frames.FROM_SERVER:
            return self._from_client(piece)
        if self._is_in_the_dark:
            self._unsent.append(piece)
            return []
        return self._from_server(piece, _frame_of(piece))

    def _add_untold(self, frame: FrameEvent) -> None:
        """Add data that were not told one by one to their stream: the next frame that is told may be another's."""
        stream = self.streams.get(frame.untold_stream) if frame.untold_bytes else None
        if stream is None:
            return
        if frame.way & frames.FROM_SERVER:
            stream.sent_bytes += frame.untold_bytes
        else:
            stream.received_bytes += frame.untold_bytes

    def release(self, until_ns: int) -> list[Told]:
        """Tell the streams that ended with a write that is complete: one before this moment."""
        if self._write[1] >= until_ns:
            return []
        over, self._over = self._over, []
        return [self._request(stream, flags | ev.FINAL) for stream, flags in over]

    def close(self, at_ns: int, flags: int) -> list[Told]:
        """End all streams: aborted, or its process has died."""
        told = self.release(at_ns + 1)
        for number in list(self.streams):
            self.streams[number].ended_ns = at_ns
            told.append(self._end(number, flags))
        return told

    def settle(self, now_ns: int) -> list[Told]:
        """End streams of events that have begun."""
        ready = [
            number
            for number, stream in self.streams.items()
            if stream.is_events and stream.ended_ns and now_ns - stream.ended_ns > ev.CLOSED_AFTER_NS
        ]
        return [self._end(number, ev.ANSWERED) for number in ready]

    def under_way(self) -> list[ev.RequestEvent]:
        """Return the streams that have not ended."""
        return [self._request(stream, 0) for stream in self.streams.values()]

    # --- what is read

    def _records(self, event: FrameEvent) -> list[Told]:
        if event.way & frames.FROM_SERVER:
            return self._flush(event)
        self._read = event
        return [_step(steps.NOTICED, event, event, 0)] if event.lane == frames.LOOP_LANE else []

    def _from_client(self, piece: FrameEvent | Block) -> list[Told]:
        frame = _frame_of(piece)
        read = self._before(frame) if self._is_in_the_dark else frame
        stream = self.streams.get(frame.stream)
        if frame.type == frames.RESET:
            return self._reset(frame.stream, read.at_ns)
        if stream is None:
            return self._open(piece, frame, read)
        stream.received_bytes += piece.size
        if read.lane != frames.LOOP_LANE:
            return []
        return [_step(steps.READ, read, frame, stream.id)]

    def _before(self, frame: FrameEvent) -> FrameEvent:
        """Return the read that a frame's records came with, by the same thread: those of the first are not told."""
        return self._read._replace(booked_ns=NOTHING, lane=self._read.lane or frame.lane)

    def _open(self, piece: FrameEvent | Block, frame: FrameEvent, read: FrameEvent) -> list[Told]:
        if not frame.request or isinstance(piece, frames.FrameEvent) or len(self.streams) >= MOST_STREAMS:
            return []
        stream = self.streams[frame.stream] = Stream(frame, read.since_ns, read.at_ns)
        stream.asked(piece.headers)
        stream.received_bytes = piece.size
        kind = ev.line_kind(stream.line)
        step = steps.READ if read.lane == frames.LOOP_LANE else steps.FOUND
        return [Begun(_step(step, read, frame, stream.id, kind), stream.line)]

    def _reset(self, number: int, at_ns: int) -> list[Told]:
        stream = self.streams.get(number)
        if stream is None:
            return []
        stream.ended_ns = at_ns
        return [self._end(number, ev.ABORTED)]

    # --- what is written

    def _flush(self, sent: FrameEvent) -> list[Told]:
        unsent, self._unsent = self._unsent, []
        told: list[Told] = []
        for piece in unsent:
            told += self._from_server(piece, sent)
            sent = sent._replace(booked_ns=NOTHING)
        return told

    def _from_server(self, piece: FrameEvent | Block, sent: FrameEvent) -> list[Told]:
        frame = _frame_of(piece)
        stream = self.streams.get(frame.stream)
        if stream is None:
            return []
        if stream.is_events and stream.ended_ns and sent.at_ns - stream.ended_ns > STREAM_PAUSE_NS:
            return [self._end(frame.stream, ev.ANSWERED)]
        if not isinstance(piece, frames.FrameEvent):
            stream.answers(piece.headers)
            if stream.code is not None and stream.code < 200:  # noqa: PLR2004 - an interim answer ends nothing
                return []
        stream.sent_bytes += piece.size
        stream.ended_ns = sent.at_ns
        is_over = frame.type == frames.RESET or bool(frame.flags & frames.END_STREAM) or stream.method == b"CONNECT"
        stream.is_by_lane = stream.is_by_lane and bool(sent.lane)
        told = [] if sent.lane == frames.LOOP_LANE else self._note_write(stream, sent)
        told.append(_step(steps.ANSWERED, sent, frame, stream.id, steps.IS_ALL if is_over else 0))
        if is_over:
            flags = ev.ABORTED if frame.type == frames.RESET else ev.ANSWERED
            if sent.lane == frames.LOOP_LANE:
                told.append(self._end(frame.stream, flags))
            else:
                self._over.append((self.streams.pop(frame.stream), flags))
        return told

    def _note_write(self, stream: Stream, sent: FrameEvent) -> list[Told]:
        """Take in who writes. In gRPC one thread writes for all: which of several streams is its own is not known."""
        told: list[Told] = []
        if self._write != (sent.tid, sent.at_ns):
            told = self.release(sent.at_ns + 1)
            self._write = (sent.tid, sent.at_ns)
            self._written.clear()
        self._written.add(stream)
        if len(self._written) > 1:
            for each in self._written:
                each.is_by_lane = False
        return told

    def _end(self, number: int, flags: int) -> ev.RequestEvent:
        return self._request(self.streams.pop(number), flags | ev.FINAL)

    def _request(self, stream: Stream, flags: int) -> ev.RequestEvent:
        return ev.RequestEvent(
            id=stream.id,
            connection=self.key,
            pid=stream.pid,
            tid=stream.tid,
            arrived_ns=stream.arrived_ns,
            started_ns=stream.started_ns,
            ended_ns=stream.ended_ns,
            received_bytes=stream.received_bytes,
            sent_bytes=stream.sent_bytes,
            flags=flags | (ev.BY_STEPS if stream.is_by_lane else ev.SEVERAL),
            local=self._local,
            remote=self._remote,
            booked_ns=(0,) * len(BUCKETS),
            throttled_ns=0,
            gc_ns=0,
            peers=(),
            status=b"HTTP/2.0 %d" % stream.code if stream.code is not None else b"",
            head=stream.line,
            protocol=stream.protocol,
            grpc_status=stream.grpc_status,
        )


def _frame_of(piece: FrameEvent | Block) -> FrameEvent:
    return piece if isinstance(piece, frames.FrameEvent) else piece.first


def _step(kind: int, passed: FrameEvent, frame: FrameEvent, request: int, other: int = 0) -> StepEvent:
    """Make a step of bytes that have passed the socket."""
    return StepEvent(
        passed.at_ns,
        passed.pid,
        passed.tid,
        kind,
        frame.connection,
        request,
        passed.since_ns,
        frame.size,
        other,
        passed.booked_ns,
        None,
    )
