"""A closed-loop load generator: clients that remember when each request began and ended.

Each endpoint has its own clients: a client sends one request, reads the whole answer, waits for its turn
(`pause_s`), and sends the next, so the load never outruns the server. Times are CLOCK_MONOTONIC nanoseconds,
the clock of the kernel's ledgers.

    python -m perfwatch.examples.load 127.0.0.1:8000 --path /item/{n} --clients 4 --duration 5
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import itertools
import random
import sys
import threading
import time
from typing import TYPE_CHECKING, Final, Self

from perfwatch.examples.http_client import Call, Connection, RequestFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

MAX_SAMPLES: Final = 1_000_000
"""Of a longer load the newest are kept."""
RETRY_S: Final = 0.1
"""Pause after a failure: a server that is gone is not hammered."""


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """What one group of clients does, over and over."""

    call: Call
    """`{n}` in its path becomes a number that no other request of this load has."""
    clients: int = 1
    pause_s: float = 0.0
    """Mean think time; each is drawn evenly from half of it to one and a half."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One request as its client saw it."""

    path: str
    start_ns: int
    """Just before the first byte was sent, on a connection that was set up."""
    end_ns: int
    """When the last byte of the answer had been read."""
    status: int | None
    """None: no answer came."""
    endpoint: str
    """The path with `{n}` still in it."""

    @property
    def latency_ms(self) -> float:
        """First byte sent until last byte read."""
        return (self.end_ns - self.start_ns) / 1e6


class Load:
    """Clients that run from `with` until `stop` or the end of the block.

    The seed settles the think times; who meets whom is the server's doing.
    """

    def __init__(
        self,
        address: str,
        endpoints: Sequence[Endpoint],
        *,
        seed: int = 1,
        timeout_s: float = 30.0,
        max_samples: int = MAX_SAMPLES,
    ) -> None:
        """`address` is `127.0.0.1:8000` or `unix:/run/app.sock`; `timeout_s` of silence fails a request."""
        self._samples: collections.deque[Sample] = collections.deque(maxlen=max_samples)
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        self._pairs = [
            (endpoint, Connection(address, timeout_s, small_buffer=endpoint.call.download_s > 0))
            for endpoint in endpoints
            for _ in range(endpoint.clients)
        ]
        self._threads = [
            threading.Thread(target=self._client, args=(*client, random.Random(f"{seed}.{index}")), daemon=True)
            for index, client in enumerate(self._pairs)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def samples(self) -> list[Sample]:
        """What the clients saw so far, in the order in which they began."""
        return sorted(self._samples.copy(), key=lambda sample: sample.start_ns)

    def wait(self, duration_s: float) -> None:
        """Let the load run for a time, or until another thread stops it."""
        self._stopping.wait(duration_s)

    def stop(self, *, grace_s: float = 5.0) -> None:
        """Let what is under way end, cut off what outlasts the grace, and wait for the clients."""
        self._stopping.set()
        deadline = time.monotonic() + grace_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for _, connection in self._pairs:
            connection.abort()
        for thread in self._threads:
            thread.join()

    def _client(self, endpoint: Endpoint, connection: Connection, dice: random.Random) -> None:
        self._stopping.wait(endpoint.pause_s * dice.random())
        while not self._stopping.is_set():
            sample = self._request(endpoint.call, connection)
            self._samples.append(sample)
            pause_s = endpoint.pause_s * (0.5 + dice.random()) if sample.status else RETRY_S
            if pause_s:
                self._stopping.wait(pause_s)
        connection.close()

    def _request(self, call: Call, connection: Connection) -> Sample:
        path = call.path.replace("{n}", str(next(self._numbers)))
        start_ns = time.monotonic_ns()
        try:
            answer = connection.request(dataclasses.replace(call, path=path))
        except RequestFailed:
            return Sample(path, start_ns, time.monotonic_ns(), None, call.path)
        return Sample(path, answer.start_ns, answer.end_ns, answer.status, call.path)


def run(address: str, endpoints: Sequence[Endpoint], duration_s: float, *, seed: int = 1) -> list[Sample]:
    """Put a load on a server for a time; returns what its clients saw."""
    with Load(address, endpoints, seed=seed) as load:
        load.wait(duration_s)
    return load.samples


def percentile_ms(samples: Iterable[Sample], percent: float) -> float:
    """Nearest-rank percentile of the latencies; raises ValueError where there are none."""
    latencies = sorted(sample.latency_ms for sample in samples)
    if not latencies:
        raise ValueError("no samples")
    rank = int(-(-len(latencies) * percent // 100))
    return latencies[max(rank, 1) - 1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Load one path from the command line and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m perfwatch.examples.load", description="Closed-loop load.")
    parser.add_argument("address", help="127.0.0.1:8000 or unix:/run/app.sock")
    parser.add_argument("--path", default="/", help="{n} in it becomes a running number")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--pause", type=float, default=0.0, metavar="S", help="mean think time of a client")
    parser.add_argument("--duration", type=float, default=5.0, metavar="S")
    options = parser.parse_args(arguments)
    endpoint = Endpoint(Call(options.path), options.clients, options.pause)
    samples = run(options.address, [endpoint], options.duration)
    answered = [sample for sample in samples if sample.status is not None]
    if not answered:
        sys.stderr.write(f"no answer from {options.address}\n")
        return 1
    sys.stdout.write(
        f"{len(answered)} answers, {len(samples) - len(answered)} failures, "
        f"{len(answered) / options.duration:.0f}/s, "
        f"p50 {percentile_ms(answered, 50):.2f} ms, p95 {percentile_ms(answered, 95):.2f} ms\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
