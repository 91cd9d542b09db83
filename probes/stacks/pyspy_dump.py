"""What `py-spy dump --json` prints: one list of threads, each with its frames, the innermost first. Pure.

    [{"pid": 4312, "thread_id": 139708155811520, "thread_name": "worker-2", "os_thread_id": null, "active": true,
      "owns_gil": false, "frames": [{"name": "total", "filename": "/srv/shop/orders.py", "module": null,
      "short_filename": "orders.py", "line": 41, "locals": null, "is_entry": true, "is_shim_entry": false}, ...]}, ...]

As py-spy 0.4.3 has it: `thread_id` is the pthread_t. `os_thread_id` is as the target's own PID namespace counts; for
Python before 3.11 it is null where the target is not paused or is in another PID namespace, and then `active` is always
true. `module` is the library of a native frame. Names and files are as the target's memory has them: untrusted.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from perfwatch.probes.errors import Malformed
from perfwatch.probes.frames import MAX_FRAME_CHARS, Frame

MAX_THREADS: Final = 1024
MAX_DEPTH: Final = 256
"""Of a deeper stack the innermost frames are kept."""
MAX_NAME_CHARS: Final = 128
_Line = Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 31)]
_Number = Annotated[int, msgspec.Meta(gt=0, lt=1 << 31)]
_Address = Annotated[int, msgspec.Meta(ge=0)]


class DumpedThread(msgspec.Struct, frozen=True):
    """One thread of a dump."""

    pthread: int
    inner_tid: int | None
    """As the target's own PID namespace counts; None where py-spy does not tell."""
    name: str | None
    """None of a thread that Python did not start by `threading`. Untrusted."""
    holds_gil: bool
    is_active: bool | None
    """Whether it ran; None where py-spy did not look."""
    frames: tuple[Frame, ...]
    """The innermost first."""
    root: Frame | None
    """The outermost frame; it is the last of `frames`, if those are all. None without any."""


class _Frame(msgspec.Struct):
    name: str
    filename: str
    line: _Line
    module: str | None = None


class _Thread(msgspec.Struct):
    thread_id: _Address
    active: bool
    owns_gil: bool
    frames: list[_Frame]
    thread_name: str | None = None
    os_thread_id: _Number | None = None


_decoder: Final = msgspec.json.Decoder(list[_Thread])


def parse_dump(text: bytes) -> tuple[DumpedThread, ...]:
    """Return the threads, at most `MAX_THREADS`; raises Malformed. Costs 0.3 us a frame."""
    try:
        threads = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"py-spy printed what is no dump: {error}") from None
    return tuple(_thread(thread) for thread in threads[:MAX_THREADS])


def _thread(thread: _Thread) -> DumpedThread:
    frames = tuple(map(_frame, thread.frames[:MAX_DEPTH]))
    is_cut = len(frames) < len(thread.frames)
    return DumpedThread(
        pthread=thread.thread_id,
        inner_tid=thread.os_thread_id,
        name=None if thread.thread_name is None else thread.thread_name[:MAX_NAME_CHARS],
        holds_gil=thread.owns_gil,
        is_active=None if thread.os_thread_id is None else thread.active,
        frames=frames,
        root=_frame(thread.frames[-1]) if is_cut else next(reversed(frames), None),
    )


def _frame(frame: _Frame) -> Frame:
    is_native = frame.module is not None
    return Frame(frame.name[:MAX_FRAME_CHARS], frame.filename[:MAX_FRAME_CHARS], max(frame.line, 0), is_native)
