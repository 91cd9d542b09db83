"""What being watched costs: perfwatch, py-spy and strace on one server, in turn, in one run.

A round measures every observer once on each handler, in an order of its own; figures are compared within a round,
and the table shows the median over the rounds and how far they spread. Throughput is what four clients get in a closed
loop, on the same machine. CPU per request is the server's own, by the kernel's clock of its processes, and
steadier. Other processes pay in their system calls: a tight getppid loop, with the server idle.

    python benchmarks/overhead.py --quick
    python benchmarks/overhead.py --rounds 8 --seconds 3 --write
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from processes import commands, observer_cpu_ns, observing, target
from rounds import in_rounds, machine, median, ratios
from rounds import run as run_benchmark

from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from processes import Target

HANDLERS: Final = {"/": "empty handler", "/ms": "1 ms handler"}
CLIENTS: Final = 4
WARM_S: Final = 0.5
SYSTEM_CALLS: Final = """
import os, time
call, best = os.getppid, []
for _ in range(20):
    start = time.perf_counter_ns()
    for _ in range(20_000):
        call()
    best.append((time.perf_counter_ns() - start) / 20_000)
print(sorted(best)[len(best) // 2])
"""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One observer on one handler for some seconds."""

    round: int
    observer: str
    handler: str
    requests_per_s: float
    cpu_us: float
    """The server's, per request."""
    observer_cpu: float
    """The observer's own, of one core."""
    call_ns: float
    """One system call of a process that has nothing to do with the server."""


def measure(number: int, observer: str, handler: str, served: Target, seconds: float) -> Measurement:
    """Attach, load, read the clocks, detach."""
    with observing(observer, served) as pids:
        load = [Endpoint(Call(handler), clients=CLIENTS)]
        run(served.address, load, WARM_S, seed=number)
        own_ns, cpu_ns, begun_ns = observer_cpu_ns(pids), served.cpu_ns(), time.monotonic_ns()
        samples = run(served.address, load, seconds, seed=number)
        took_ns = time.monotonic_ns() - begun_ns
        cpu_ns, own_ns = served.cpu_ns() - cpu_ns, observer_cpu_ns(pids) - own_ns
        shown = subprocess.run([sys.executable, "-c", SYSTEM_CALLS], capture_output=True, check=True)
    if any(sample.status != 200 for sample in samples):
        raise RuntimeError(f"{observer}: the server failed")
    count = len(samples)
    per_second, cpu_us = count / (took_ns / 1e9), cpu_ns / count / 1e3
    return Measurement(number, observer, handler, per_second, cpu_us, own_ns / took_ns, float(shown.stdout))


def measure_all(rounds: int, seconds: float) -> list[Measurement]:
    """Measure everything, round by round; about 3 s more than `seconds` each."""
    with target() as served:
        run(served.address, [Endpoint(Call("/"), clients=CLIENTS)], WARM_S)
        cells = [(observer, handler) for observer in commands(served, Path()) for handler in HANDLERS]
        return in_rounds(rounds, cells, lambda number, cell: measure(number, *cell, served, seconds))


def table(results: Sequence[Measurement], handler: str) -> list[str]:
    """Return the Markdown rows for one handler."""
    rows = [
        f"**{HANDLERS[handler].capitalize()}**",
        "",
        "| observer | requests/s | ratio | CPU per request | ratio | its own CPU | system call elsewhere |",
        "|---|---|---|---|---|---|---|",
    ]
    cells = [result for result in results if result.handler == handler]
    for observer in dict.fromkeys(result.observer for result in results):
        mine = [result for result in cells if result.observer == observer]
        rows.append(
            f"| {observer} | {median(mine, lambda r: r.requests_per_s):.0f} "
            f"| {ratios(cells, observer, lambda r: r.requests_per_s)} "
            f"| {median(mine, lambda r: r.cpu_us):.0f} us | {ratios(cells, observer, lambda r: r.cpu_us)} "
            f"| {100 * median(mine, lambda r: r.observer_cpu):.1f} % | {median(mine, lambda r: r.call_ns):.0f} ns |"
        )
    return [*rows, ""]


def section(rounds: int, seconds: float) -> list[str]:
    """Measure, and return the whole result as lines of Markdown."""
    results = measure_all(rounds, seconds)
    lines = [
        "## What being watched costs",
        "",
        f"{rounds} rounds of {seconds:g} s per cell, in one run, each round in an order of its own; gunicorn gthread,",
        f"one worker of 8 threads, {CLIENTS} clients in a closed loop. {machine()}",
        "Medians; ratios are to `nothing` in the same round, with the least and the greatest in brackets.",
        "`perfwatch` is `perfwatch record`, `py-spy` is `py-spy record -r 100`, `strace` is `strace -c -f`.",
        "",
    ]
    for handler in HANDLERS:
        lines += table(results, handler)
    return lines


if __name__ == "__main__":
    sys.exit(run_benchmark(__doc__, "overhead", section, (8, 3.0)))
