"""A live source: a feeder process attached to a PID, or several, and the pipe that its records come through.

What came is kept for a while (`ring`), so that a view can go back while the collecting goes on.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from perfwatch.agent.choices import Choices
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.feeder_messages import Ended, Failed, Hello, Message, Order, Records, whole
from perfwatch.agent.marks import Marks
from perfwatch.agent.model import ClockReading
from perfwatch.agent.playing import Player
from perfwatch.agent.ring import Ring
from perfwatch.agent.source import Batch, Position

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from perfwatch.agent.model import SessionInfo
    from perfwatch.agent.playing import Window
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
        self.path = output
        self.marks = Marks()
        self._ring = Ring()
        self._player: Player | None = None  # None: the view stands at the end of the stream
        self._held: deque[Record] = deque()
        self._paused = threading.Event()
        self._closed = False
        self._ended: str | None = None
        self._now_ns = 0
        self._info: SessionInfo
        try:
            self._attach(order)
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> SessionInfo:
        """What is watched, and how."""
        return self._info

    def pull(self, timeout_s: float) -> Batch:
        """Wait at most `timeout_s` for records; raises PerfwatchError if the collector fails."""
        player = self._player
        for message in self._receive(timeout_s if player is None else min(timeout_s, player.seconds_left())):
            self._take(message)
        if player is None or self._player is not player:
            return self._at_end()
        return self._behind(player)

    def _at_end(self) -> Batch:
        """Return what came since, unless the view is paused."""
        records: tuple[Record, ...] = ()
        if not self._paused.is_set():
            records = self._take_held()
        elif len(self._held) > MAX_HELD:
            records = tuple(self._held.popleft() for _ in range(len(self._held) - MAX_HELD))
        if records:
            self._now_ns = records[-1].at_ns
        done = self._ended if not self._held else None
        label = "ended" if self._ended is not None else "paused" if self._paused.is_set() else "live"
        first_ns, last_ns = self._ring.first_ns, self._held[-1].at_ns if self._held else self._now_ns
        position = Position(label, self._now_ns, first_ns, last_ns, self._paused.is_set(), seekable=True)
        return Batch(records, position, ended=done)

    def _behind(self, player: Player) -> Batch:
        """Return what the view is to be shown of what is kept, and what came meanwhile."""
        taken = player.take()
        if player.is_at_end and not taken.is_filling and taken.now_ns >= self._ring.last_ns:
            self._player = None  # it has caught up; the next pull is of the end
        label = "window" if player.window else "paused" if player.is_paused else f"behind {player.speed:g}x"
        position = Position(
            label,
            taken.now_ns,
            self._ring.first_ns,
            self._ring.last_ns,
            player.is_paused,
            seekable=True,
            note=player.note,
            speed=player.speed,
            behind=True,
            since_ns=player.since_ns,
            window=player.window,
        )
        newest = self._take_held()
        return Batch(taken.records, position, taken.restarted, is_filling=taken.is_filling, newest=newest)

    def _take_held(self) -> tuple[Record, ...]:
        records = tuple(self._held)
        self._held.clear()
        return records

    def pause(self, *, paused: bool) -> None:
        """Hold the view, not the collecting."""
        if (player := self._player) is not None:
            player.pause(paused=paused)
        else:
            (self._paused.set if paused else self._paused.clear)()
        self._wake()

    def seek(self, at_ns: int) -> None:
        """Go to a moment of what is kept; the end is live."""
        if at_ns >= self._ring.last_ns:
            self._player = None
            self._paused.clear()
        elif self._player is not None:
            self._player.seek(at_ns)
        else:
            self._player = Player(self._ring, at_ns=at_ns, paused=self._paused.is_set())
        self._wake()

    def step(self, step: int) -> None:
        """Go to the next reading, or the one before."""
        if self._player is None:
            self._player = Player(self._ring, at_ns=self._now_ns, paused=True)
        self._player.step(step)
        self._wake()

    def select(self, window: Window) -> None:
        """Show one stretch of what is kept until a seek."""
        player = self._player or Player(self._ring, at_ns=window.end_ns)
        player.select(window)
        self._player = player
        self._wake()

    def cut(self, window: Window) -> Iterator[Record]:
        """Yield the records of a stretch, as far as they are kept."""
        for record in self._ring.records(window.begin_ns):
            if record is None or record.at_ns > window.end_ns:
                return
            yield record

    def set_speed(self, factor: float) -> None:
        """Play what is kept faster or slower; the end of the stream has the speed of time."""
        if self._player is not None:
            self._player.set_speed(factor)
        self._wake()

    def _wake(self) -> None:
        os.write(self._wake_write, b".")

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

    def _attach(self, order: Order) -> None:
        if self._process.stdin is None:
            raise AssertionError
        try:
            with self._process.stdin as pipe:
                pipe.write(msgspec.json.encode(order))
        except BrokenPipeError:
            raise _ended_early() from None
        is_attached = False
        for message in self._receive(ATTACH_S):
            if isinstance(message.message, Hello):  # before all records
                self._info, is_attached = message.message.info, True
            else:
                self._take(message)
        if not is_attached and self._ended is not None:
            raise _ended_early()
        if not is_attached:
            raise PerfwatchError(f"the collector did not attach within {ATTACH_S:.0f} s", "perfwatch doctor")

    def _receive(self, timeout_s: float) -> list[_Received]:
        """Read what the pipe holds; at least one whole message, unless the time is over or a control woke it."""
        if self._ended is not None or self._process.stdout is None:
            if self._player is not None:
                self._woken(timeout_s)
            return []
        pipe = self._process.stdout.fileno()
        messages = self._whole()
        while not messages:
            if not self._woken(timeout_s, pipe):
                return []
            data = os.read(pipe, 1 << 20)
            if not data:
                return [_Received(Ended("the collector has ended"), b"")]
            self._buffer += data
            messages = self._whole()
        return messages

    def _woken(self, timeout_s: float, *pipes: int) -> bool:
        """Wait for a pipe that can be read; False where the time was over, or a control ended the wait."""
        ready, _, _ = select.select([*pipes, self._wake_read], [], [], timeout_s)
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
        return bool(set(pipes) & set(ready))

    def _whole(self) -> list[_Received]:
        messages, taken = whole(self._buffer)
        del self._buffer[:taken]
        return [_Received(_decoder.decode(packed), packed) for packed in messages]

    def _take(self, received: _Received) -> None:
        message = received.message
        if isinstance(message, Records):
            self._held.extend(message.records)
            self._ring.append(received.packed, message.records)
            for record in message.records:
                self.marks.take(record)
                if isinstance(record, ClockReading):
                    self._info = self._info.with_clocks((record,))
        elif isinstance(message, Failed):
            raise PerfwatchError(message.problem, message.remedy)
        elif isinstance(message, Ended):
            self._ended = message.reason


class _Received(NamedTuple):
    """A message, and the bytes that it came as."""

    message: Message
    packed: bytes


def _ended_early() -> PerfwatchError:
    return PerfwatchError("the collector ended before it was attached", "perfwatch doctor")


_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)
