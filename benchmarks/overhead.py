"""What being watched costs: perfwatch, py-spy and strace on one server, in turn, in one run.

A round measures every observer once on each handler, in an order of its own; figures are compared within a round,
and the table shows the median over the rounds and how far they spread. Throughput is what four clients get in a closed
loop, on the same machine. CPU per request is the server's own, by the kernel's clock of its processes, and
steadier. Other processes pay in their system calls: a tight getppid loop, with the server idle.

    python benchmarks/overhead.py --quick
    python benchmarks/overhead.py --rounds 8 --seconds 3 --write
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
from processes import commands, observing, process_cpu_ns, target

from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from processes import Target

HANDLERS: Final = {"/": "empty handler", "/ms": "1 ms handler"}
CLIENTS: Final = 4
WARM_S: Final = 0.5
PAGE: Final = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN: Final = "<!-- overhead: written by benchmarks/overhead.py -->"
END: Final = "<!-- end of overhead -->"
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
        own_ns, cpu_ns, begun_ns = _sum(pids), served.cpu_ns(), time.monotonic_ns()
        samples = run(served.address, load, seconds, seed=number)
        took_ns = time.monotonic_ns() - begun_ns
        cpu_ns, own_ns = served.cpu_ns() - cpu_ns, _sum(pids) - own_ns
        shown = subprocess.run([sys.executable, "-c", SYSTEM_CALLS], capture_output=True, check=True)
    if any(sample.status != 200 for sample in samples):
        raise RuntimeError(f"{observer}: the server failed")
    count = len(samples)
    per_second, cpu_us = count / (took_ns / 1e9), cpu_ns / count / 1e3
    return Measurement(number, observer, handler, per_second, cpu_us, own_ns / took_ns, float(shown.stdout))


def measure_all(rounds: int, seconds: float) -> list[Measurement]:
    """Measure everything, round by round, each in an order of its own; about 3 s more than `seconds` each."""
    results = []
    with target() as served:
        run(served.address, [Endpoint(Call("/"), clients=CLIENTS)], WARM_S)
        names = list(commands(served, Path()))
        for number in range(rounds):
            turns = [(observer, handler) for observer in names for handler in HANDLERS]
            random.Random(number).shuffle(turns)
            for observer, handler in turns:
                results.append(measure(number, observer, handler, served, seconds))
                sys.stderr.write(f"round {number + 1}/{rounds}: {observer} on {HANDLERS[handler]}\n")
    return results


def table(results: Sequence[Measurement], handler: str) -> list[str]:
    """Return the Markdown rows for one handler."""
    rows = [
        f"**{HANDLERS[handler].capitalize()}**",
        "",
        "| observer | requests/s | ratio | CPU per request | ratio | its own CPU | system call elsewhere |",
        "|---|---|---|---|---|---|---|",
    ]
    for observer in dict.fromkeys(result.observer for result in results):
        mine = [result for result in results if (result.observer, result.handler) == (observer, handler)]
        rows.append(
            f"| {observer} | {statistics.median(r.requests_per_s for r in mine):.0f} "
            f"| {_ratios(results, mine, lambda r: r.requests_per_s)} "
            f"| {statistics.median(r.cpu_us for r in mine):.0f} us | {_ratios(results, mine, lambda r: r.cpu_us)} "
            f"| {100 * statistics.median(r.observer_cpu for r in mine):.1f} % "
            f"| {statistics.median(r.call_ns for r in mine):.0f} ns |"
        )
    return [*rows, ""]


def section(results: Sequence[Measurement], rounds: int, seconds: float) -> str:
    """Return the whole result as Markdown."""
    machine = f"Linux {platform.release()}, {platform.machine()}, {psutil.cpu_count()} CPUs"
    lines = [
        BEGIN,
        "## What being watched costs",
        "",
        f"{rounds} rounds of {seconds:g} s per cell, in one run, each round in an order of its own; gunicorn gthread,",
        f"one worker of 8 threads, {CLIENTS} clients in a closed loop. {machine}, Python {platform.python_version()}.",
        "Medians; ratios are to `nothing` in the same round, with the least and the greatest in brackets.",
        "`perfwatch` is `perfwatch record`, `py-spy` is `py-spy record -r 100`, `strace` is `strace -c -f`.",
        "",
    ]
    for handler in HANDLERS:
        lines += table(results, handler)
    return "\n".join([*lines, END, ""])


def write_section(text: str, begin: str, end: str) -> None:
    """Put a section, which has this beginning and end, into the page of benchmarks, in the place of the one before."""
    page = PAGE.read_text() if PAGE.exists() else "# Benchmarks\n\n"
    before, found, rest = page.partition(begin)
    after = rest.partition(end)[2].lstrip("\n") if found else ""
    PAGE.write_text(before.rstrip("\n") + "\n\n" + text + (f"\n{after}" if after else ""))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load per cell")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 s: to see that it works")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    options = parser.parse_args()
    rounds, seconds = (2, 1.0) if options.quick else (options.rounds, options.seconds)
    text = section(measure_all(rounds, seconds), rounds, seconds)
    sys.stdout.write(text)
    if options.write:
        write_section(text, BEGIN, END)
    return 0


def _ratios(results: Sequence[Measurement], mine: Sequence[Measurement], figure: Callable[[Measurement], float]) -> str:
    bases = {r.round: figure(r) for r in results if (r.observer, r.handler) == ("nothing", mine[0].handler)}
    ratios = [figure(result) / bases[result.round] for result in mine]
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})"


def _sum(pids: Sequence[int]) -> int:
    return sum(process_cpu_ns(pid) for pid in pids)


if __name__ == "__main__":
    sys.exit(main())
