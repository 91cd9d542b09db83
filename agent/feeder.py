"""The collector in a process of its own, so that no screen can stall it: `python -P -m perfwatch.agent.feeder`.

Standard input gives one `Order`; standard output then carries messages, each a 4-byte length and a msgpack array.
It never waits for the screen: to one that is stopped, or slow, it sends less (see `Outbox`), and records all.
It ends with its parent: at SIGTERM, at a closed pipe, and, by PR_SET_PDEATHSIG, when the parent is killed.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent import heap
from perfwatch.agent.collector import Collector
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.feeder_messages import Ended, Failed, Hello, Message, Order, Records, framed
from perfwatch.agent.recording import recorded
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.agent.stopping import stop_on_signals
from perfwatch.agent.target import find_targets
from perfwatch.probes.records import Loss

if TYPE_CHECKING:
    import threading

MAX_PENDING_BYTES: Final = 4 << 20
_PIPE_BYTES: Final = 1 << 20
_PR_SET_PDEATHSIG: Final = 1


class Outbox:
    """Messages on their way through a pipe that is never waited for, but at the end.

    Of what the pipe has not taken, some MB are kept; beyond that the oldest records are dropped, and told as a `Loss`
    once the pipe has taken the rest.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._pending: deque[tuple[memoryview, int | None]] = deque()  # and the records in it, where it may be dropped
        self._begun = memoryview(b"")  # what is left of the message that the pipe has taken a part of
        self._bytes = self._lost = 0
        os.set_blocking(pipe, False)
        with suppress(OSError):  # beyond what this user may have: the pipe stays as it is
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def put(self, message: Message) -> None:
        """Send what the pipe takes now, and keep the rest; raises BrokenPipeError where nobody reads."""
        self._append(message)
        self._flush()
        while self._bytes > MAX_PENDING_BYTES and (records := self._pending[0][1]) is not None:
            dropped, _ = self._pending.popleft()
            self._bytes -= len(dropped)
            self._lost += records
        self._tell_loss()

    def finish(self, message: Message) -> None:
        """Send all that is left, and a last message; waits for the reader."""
        os.set_blocking(self._pipe, True)
        self._flush()
        self._tell_loss()
        self.put(message)

    def _tell_loss(self) -> None:
        if self._lost and not self._begun and not self._pending:
            told = Loss(time.monotonic_ns(), "screen", self._lost, "the screen did not keep up")
            self._lost = 0
            self._append(Records((told,)))
            self._flush()

    def _append(self, message: Message) -> None:
        data = _encoder.encode(message)
        view = memoryview(framed(data))
        self._pending.append((view, len(message.records) if isinstance(message, Records) else None))
        self._bytes += len(view)

    def _flush(self) -> None:
        with suppress(BlockingIOError):
            while self._begun or self._pending:
                if not self._begun:
                    self._begun, _ = self._pending.popleft()
                    self._bytes -= len(self._begun)
                self._begun = self._begun[os.write(self._pipe, self._begun) :]


def main() -> None:
    """Carry out the order on standard input."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != order.parent:
        return  # it died before that took effect
    outbox = Outbox(sys.stdout.fileno())
    try:
        targets = find_targets(order.pids)
        with stop_on_signals() as stop, Collector(*targets, slow_ms=order.slow_ms, choices=order.choices) as collector:
            heap.settle()
            outbox.put(Hello(collector.info))
            _feed(order, outbox, collector, stop)
        if collector.ended:
            outbox.finish(Ended(collector.ended))
    except BrokenPipeError:
        pass  # nobody reads
    except PerfwatchError as error:
        with suppress(BrokenPipeError):
            outbox.finish(Failed(error.problem, error.remedy))


def _feed(order: Order, outbox: Outbox, collector: Collector, stop: threading.Event) -> None:
    if order.output:
        with SessionWriter(Path(order.output), collector.info, overwrite=order.overwrite) as writer:
            for _, batch in recorded(collector, writer, stop):
                outbox.put(Records(batch))
    else:
        for batch in collector.batches(stop):
            outbox.put(Records(batch))


_encoder: Final = msgspec.msgpack.Encoder()

if __name__ == "__main__":
    main()
