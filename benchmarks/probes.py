"""What one reading of each probe costs, beside ss, pidstat and psutil, on targets of few and many threads and sockets.

A round measures every contestant once, in an order of its own; the tables show the median over the rounds, and the
least and the greatest. A probe's clock is advanced by its period at each reading, so that what it does rarely is in
the mean. A command's reading is all of it: start, reading, printing to nowhere. As root all of it happens in a network
namespace of its own, where nobody else has sockets.

    python benchmarks/probes.py --quick
    python benchmarks/probes.py --rounds 7 --write
"""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
from contestants import WITH_SOCKETS, WITH_THREADS, commands, opened, psutil_readings, target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from contestants import Target

THREADS: Final = (1, 10, 100, 1_000)
SOCKETS: Final = (100, 10_000)
PAGE: Final = Path(__file__).parent.parent / "docs" / "benchmarks-probes.md"
READINGS: Final = 20
ENOUGH_S: Final = 0.4
"""A contestant's turn ends after so long, or so many readings."""
_CLONE_NEWNET: Final = 0x40000000


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one reading."""

    cpu_ms: float
    wall_ms: float


def turn(read: Callable[[], object]) -> Cost:
    """Read again and again, and return the mean; the CPU is that of this process."""
    begun, cpu, readings = time.perf_counter(), time.process_time(), 0
    while readings < READINGS and time.perf_counter() - begun < ENOUGH_S:
        read()
        readings += 1
    return Cost(1e3 * (time.process_time() - cpu) / readings, 1e3 * (time.perf_counter() - begun) / readings)


def command_turn(command: Sequence[str]) -> Cost:
    """Run a command again and again, and return the mean; the CPU is its own."""

    def cpu_s() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before, begun, readings = cpu_s(), time.perf_counter(), 0
    while readings < READINGS and time.perf_counter() - begun < ENOUGH_S:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        readings += 1
    return Cost(1e3 * (cpu_s() - before) / readings, 1e3 * (time.perf_counter() - begun) / readings)


def measure(found: Target, rounds: int) -> dict[str, list[Cost]]:
    """Measure every contestant on one target, round by round."""
    costs: dict[str, list[Cost]] = defaultdict(list)
    with opened(found.pid) as probes:
        inside = {**probes, **psutil_readings(found.pid)}
        turns: dict[str, Callable[[], Cost]] = {name: lambda read=read: turn(read) for name, read in inside.items()}
        for name, command in commands(found.pid).items():
            turns[name] = lambda command=command: command_turn(command)
        for read in inside.values():
            read()
        for number in range(rounds):
            names = list(turns)
            random.Random(number).shuffle(names)
            for name in names:
                costs[name].append(turns[name]())
            sys.stderr.write(f"{found.label}: round {number + 1}/{rounds}\n")
    return {name: costs[name] for name in turns}


def table(columns: Mapping[str, Mapping[str, list[Cost]]], figure: Callable[[Cost], float]) -> list[str]:
    """Return the Markdown rows of one figure: contestants by targets."""
    names = list(dict.fromkeys(name for costs in columns.values() for name in costs))
    rows = [f"| reading | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    rows += [
        f"| {name} | {' | '.join(cell(costs.get(name, []), figure) for costs in columns.values())} |" for name in names
    ]
    return [*rows, ""]


def cell(costs: Sequence[Cost], figure: Callable[[Cost], float]) -> str:
    """Return `1.52 (1.40-1.93)`; a dash for what was not measured."""
    values = [figure(cost) for cost in costs]
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})" if values else "-"


def versus(columns: Mapping[str, Mapping[str, list[Cost]]], probe: str, rival: str) -> list[str]:
    """Return, by target, what a probe costs in parts of what a command costs, compared within each round."""
    lines = []
    for label, costs in columns.items():
        pairs = list(zip(costs.get(probe, []), costs.get(rival, []), strict=False))
        if pairs:
            cpu = [mine.cpu_ms / theirs.cpu_ms for mine, theirs in pairs if theirs.cpu_ms]
            wall = [mine.wall_ms / theirs.wall_ms for mine, theirs in pairs]
            lines.append(f"- {label}: {probe} takes {spread(cpu)} of the CPU of {rival}, {spread(wall)} of its time")
    return [*lines, ""] if lines else []


def spread(ratios: Sequence[float]) -> str:
    """Return `0.28 (0.24-0.31)`."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else "an unknown part"


def page(rounds: int, columns: Mapping[str, Mapping[str, list[Cost]]]) -> str:
    """Return the whole result as Markdown."""
    machine = f"Linux {platform.release()}, {platform.machine()}, {psutil.cpu_count()} CPUs"
    lines = [
        "# What one reading of each probe costs",
        "",
        "<!-- written by benchmarks/probes.py -->",
        "",
        f"{rounds} rounds in one run, each in an order of its own. {machine}, Python {platform.python_version()}.",
        "Medians, with the least and the greatest in brackets. Commands are started for each reading.",
        "",
        "## CPU, in milliseconds",
        "",
        *table(columns, lambda cost: cost.cpu_ms),
        "## Time, in milliseconds",
        "",
        *table(columns, lambda cost: cost.wall_ms),
        "## Side by side, round by round",
        "",
        *versus({label: costs for label, costs in columns.items() if "sockets" in label}, "**sockets**", "`ss -tinm`"),
        *versus({label: costs for label, costs in columns.items() if "thread" in label}, "**threads**", "`pidstat -t`"),
    ]
    return "\n".join(lines)


def measure_all(rounds: int, threads: Sequence[int], sockets: Sequence[int]) -> dict[str, dict[str, list[Cost]]]:
    """Measure on every target; about 7 s a round and target."""
    targets = [(WITH_THREADS, count, f"{count:,} thread{'s' * (count > 1)}") for count in threads]
    targets += [(WITH_SOCKETS, count, f"{count:,} sockets") for count in sockets]
    columns = {}
    for source, count, label in targets:
        with target(source, count, label) as found:
            columns[label] = measure(found, rounds)
    return columns


def leave_the_network() -> None:
    """Go into a network namespace of our own, if we may."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0 and libc.unshare(_CLONE_NEWNET) == 0:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="2 rounds on the smaller targets: to see that it works")
    parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}")
    options = parser.parse_args()
    leave_the_network()
    columns = (
        measure_all(2, THREADS[:2], SOCKETS[:1]) if options.quick else measure_all(options.rounds, THREADS, SOCKETS)
    )
    text = page(2 if options.quick else options.rounds, columns)
    sys.stdout.write(text)
    if options.write:
        PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
