"""The collector in a process of its own, so that no screen can stall it: `python -P -m perfwatch.agent.feeder`.

Standard input gives one `Order`; standard output then carries messages, each a 4-byte length and a msgpack array.
It ends with its parent: at SIGTERM, at a closed pipe, and, by PR_SET_PDEATHSIG, when the parent is killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from perfwatch.agent.collector import Collector
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.model import SessionInfo  # noqa: TC001 - msgspec reads the annotations
from perfwatch.agent.recording import recorded
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.agent.stopping import stop_on_signals
from perfwatch.agent.target import find_target
from perfwatch.probes.records import Record  # noqa: TC001

if TYPE_CHECKING:
    import threading

LENGTH: Final = struct.Struct("=I")
_PR_SET_PDEATHSIG: Final = 1


class Order(msgspec.Struct, frozen=True):
    """What the feeder is to do."""

    pid: int
    slow_ms: float | None
    output: str | None
    overwrite: bool
    parent: int


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """Attached: what the stream is about."""

    info: SessionInfo


class Records(msgspec.Struct, frozen=True, array_like=True, tag="records"):
    """Some of the stream."""

    records: tuple[Record, ...]


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """It could not attach, or not go on."""

    problem: str
    remedy: str | None


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="ended"):
    """The target is gone."""

    reason: str


Message: TypeAlias = Hello | Records | Failed | Ended


def main() -> None:
    """Carry out the order on standard input."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != order.parent:
        return  # it died before that took effect
    try:
        with stop_on_signals() as stop, Collector(find_target(order.pid), slow_ms=order.slow_ms) as collector:
            _send(_encoder.encode(Hello(collector.info)))
            _feed(order, collector, stop)
    except PerfwatchError as error:
        _send(_encoder.encode(Failed(error.problem, error.remedy)))
    except BrokenPipeError:
        os._exit(0)  # nobody reads: there is nothing to flush


def _feed(order: Order, collector: Collector, stop: threading.Event) -> None:
    if order.output:
        with SessionWriter(Path(order.output), collector.info, overwrite=order.overwrite) as writer:
            for _, batch in recorded(collector, writer, stop):
                _send(_encoder.encode(Records(batch)))
    else:
        for batch in collector.batches(stop):
            _send(_encoder.encode(Records(batch)))
    if collector.ended:
        _send(_encoder.encode(Ended(collector.ended)))


def _send(message: bytes) -> None:
    sys.stdout.buffer.write(LENGTH.pack(len(message)) + message)
    sys.stdout.buffer.flush()


_encoder: Final = msgspec.msgpack.Encoder()

if __name__ == "__main__":
    main()
