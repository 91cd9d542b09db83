"""A message of the middleware, which is whatever the target's user chose to send: checked, bounded, never believed.

JSON, as `perfwatch_middleware.py` writes it; members that are not known are skipped.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from perfwatch.probes.errors import Malformed
from perfwatch.probes.frames import MAX_FRAME_CHARS, Frame, Span, StackTable
from perfwatch.probes.records import MAX_TARGET_CHARS

MAX_BYTES: Final = 64 << 10
"""Of a message; the middleware sends less."""
MAX_STACK: Final = 128
_MAX_FRAMES: Final = 4096
_MAX_STACKS: Final = 1024
_SLACK_NS: Final = 1_000_000_000

_Time = Annotated[int, Meta(ge=0, lt=1 << 62)]
_Text = Annotated[str, Meta(max_length=MAX_TARGET_CHARS)]
_FrameText = Annotated[str, Meta(max_length=MAX_FRAME_CHARS)]
_Line = Annotated[int, Meta(ge=0, lt=1 << 31)]
_Stack = Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(max_length=MAX_STACK)]


class Message(msgspec.Struct, frozen=True):
    """What a message says."""

    perfwatch: Annotated[int, Meta(ge=1, le=1)]
    """Version of the format."""
    started_ns: _Time
    ended_ns: _Time
    tid: Annotated[int, Meta(ge=1, lt=1 << 31)]
    target: _Text
    method: _Text | None = None
    route: _Text | None = None
    status: Annotated[int, Meta(ge=0, le=999)] | None = None
    error: _Text | None = None
    dropped: Annotated[int, Meta(ge=0, lt=1 << 31)] = 0
    """Spans before it that the sender's buffer did not take."""
    frames: Annotated[tuple[tuple[_FrameText, _FrameText, _Line, bool], ...], Meta(max_length=_MAX_FRAMES)] = ()
    stacks: Annotated[tuple[_Stack, ...], Meta(max_length=_MAX_STACKS)] = ()
    spent_ns: Annotated[tuple[_Time, ...], Meta(max_length=_MAX_STACKS)] = ()


def parse_message(data: bytes | memoryview) -> Message:
    """Return what a message says; raises Malformed unless it is one, whole, and contradicts itself nowhere."""
    try:
        message = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Malformed("not a span") from None
    lasted_ns = message.ended_ns - message.started_ns
    if lasted_ns < 0 or len(message.stacks) != len(message.spent_ns):
        raise Malformed("a span that contradicts itself")
    if sum(message.spent_ns) > lasted_ns + _SLACK_NS:
        raise Malformed("a tree that is longer than its span")
    if any(place >= len(message.frames) for stack in message.stacks for place in stack):
        raise Malformed("a stack without its frames")
    return message


def span_of(message: Message, *, pid: int, is_inner: bool, now_ns: int) -> Span:
    """Make the record; raises Malformed where the request has not ended yet.

    `is_inner`: the sender counts its threads in a PID namespace of its own.
    """
    if message.ended_ns > now_ns:
        raise Malformed("a span that has not ended")
    frames = tuple(Frame(*frame) for frame in message.frames)
    return Span(
        at_ns=max(message.ended_ns, now_ns - _SLACK_NS),
        pid=pid,
        tid=None if is_inner else message.tid,
        started_ns=message.started_ns,
        ended_ns=message.ended_ns,
        method=message.method,
        target=message.target,
        route=message.route,
        status=message.status,
        error=message.error,
        code=StackTable(frames, message.stacks),
        spent_ns=message.spent_ns,
    )


_decoder: Final = msgspec.json.Decoder(Message)
