"""A live source: a feeder process attached to a PID, or several, and the pipe that its records come through."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.choices import Choices
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.feeder_messages import LENGTH, Ended, Failed, Hello, Message, Order, Records
from perfwatch.agent.source import Batch, Position

if TYPE_CHECKING:
    from pathlib import Path

    from perfwatch.agent.model import SessionInfo
    from perfwatch.probes.records import Record

ATTACH_S: Final = 15.0
STOP_S: Final = 5.0
MAX_HELD: Final = 500_000
"""As many records are held while the view is paused; then the oldest are passed on."""


class Live:
    """Attaches when it is made; raises PerfwatchError, with the feeder's own words, where that fails."""

    def __init__(
        self,
        *pids: int,
        slow_ms: float | None = None,
        output: Path | None = None,
        overwrite: bool = False,
        choices: Choices | None = None,
    ) -> None:
        file = str(output) if output else None
        order = Order(pids, slow_ms, file, overwrite, os.getpid(), choices or Choices())
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "perfwatch.agent.feeder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the screen's to answer
        )
        self._wake_read, self._wake_write = os.pipe()
        self._buffer = bytearray()
        self._held: deque[Record] = deque()
        self._paused = threading.Event()
        self._closed = False
        self._ended: str | None = None
        self._first_ns = self._now_ns = 0
        try:
            self._info = self._attach(order)
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> SessionInfo:
        """What is watched, and how."""
        return self._info

    def pull(self, timeout_s: float) -> Batch:
        """Wait at most `timeout_s` for records; raises PerfwatchError if the collector fails."""
        for message in self._receive(timeout_s):
            self._take(message)
        records: tuple[Record, ...] = ()
        if not self._paused.is_set():
            records = tuple(self._held)
            self._held.clear()
        elif len(self._held) > MAX_HELD:
            records = tuple(self._held.popleft() for _ in range(len(self._held) - MAX_HELD))
        if records:
            self._first_ns = self._first_ns or records[0].at_ns
            self._now_ns = records[-1].at_ns
        done = self._ended if not self._held else None
        return Batch(records, self._position(), ended=done)

    def pause(self, *, paused: bool) -> None:
        """Hold the view, not the collecting."""
        (self._paused.set if paused else self._paused.clear)()
        os.write(self._wake_write, b".")

    def seek(self, at_ns: int) -> None:
        """Do nothing: a live stream has only its end."""

    def set_speed(self, factor: float) -> None:
        """Do nothing: a live stream has the speed of time."""

    def close(self) -> None:
        """Detach: the feeder ends its recording and leaves; may be called twice."""
        if self._closed:
            return
        self._closed = True
        self._process.terminate()
        with self._process:  # closes the pipes: a feeder that is writing sees that nobody reads
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe:
                    pipe.close()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _attach(self, order: Order) -> SessionInfo:
        if self._process.stdin is None:
            raise AssertionError
        try:
            with self._process.stdin as pipe:
                pipe.write(msgspec.json.encode(order))
        except BrokenPipeError:
            raise _ended_early() from None
        info = None
        for message in self._receive(ATTACH_S):
            if isinstance(message, Hello):
                info = message.info
            else:
                self._take(message)
        if info is None and self._ended is not None:
            raise _ended_early()
        if info is None:
            raise PerfwatchError(f"the collector did not attach within {ATTACH_S:.0f} s", "perfwatch doctor")
        return info

    def _receive(self, timeout_s: float) -> list[Message]:
        """Read what the pipe holds; at least one whole message, unless the time is over or a control woke it."""
        if self._ended is not None or self._process.stdout is None:
            return []
        pipe = self._process.stdout.fileno()
        messages = self._whole()
        while not messages:
            ready, _, _ = select.select([pipe, self._wake_read], [], [], timeout_s)
            if pipe not in ready:
                if ready:
                    os.read(self._wake_read, 4096)
                return []
            data = os.read(pipe, 1 << 20)
            if not data:
                return [Ended("the collector has ended")]
            self._buffer += data
            messages = self._whole()
        return messages

    def _whole(self) -> list[Message]:
        messages, at = [], 0
        while len(self._buffer) - at >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer, at)
            if len(self._buffer) - at - LENGTH.size < length:
                break
            messages.append(_decoder.decode(self._buffer[at + LENGTH.size : at + LENGTH.size + length]))
            at += LENGTH.size + length
        del self._buffer[:at]
        return messages

    def _take(self, message: Message) -> None:
        if isinstance(message, Records):
            self._held.extend(message.records)
        elif isinstance(message, Failed):
            raise PerfwatchError(message.problem, message.remedy)
        elif isinstance(message, Ended):
            self._ended = message.reason

    def _position(self) -> Position:
        label = "ended" if self._ended is not None else "paused" if self._paused.is_set() else "live"
        last_ns = self._held[-1].at_ns if self._held else self._now_ns
        return Position(label, self._now_ns, self._first_ns, last_ns, self._paused.is_set(), seekable=False)


def _ended_early() -> PerfwatchError:
    return PerfwatchError("the collector ended before it was attached", "perfwatch doctor")


_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)
