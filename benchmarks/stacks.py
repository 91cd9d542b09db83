"""What sampling stacks costs and whether they are right: perfwatch and py-spy, in both modes, in one run.

A round measures every observer once at every rate on every target, in an order of its own; the slowdown is that of the
target's busy thread, by its own clock of rounds a second, against the same target unobserved in the same round. A stack
is impossible where a function stands below one that never calls it.

    python benchmarks/stacks.py --quick
    python benchmarks/stacks.py --rounds 5 --write
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
from stack_target import CALLED_BY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parent / "docs" / "benchmarks-stacks.md"
THREADS: Final = (1, 10, 50)
RATES: Final = (50, 100)
OBSERVERS: Final = ("perfwatch", "py-spy --nonblocking", "py-spy")
PY_SPY: Final = Path(sys.executable).with_name("py-spy")
SAMPLER: Final = """
import json, sys, time
from collections import Counter
from perfwatch.probes.records import ThreadStacks
from perfwatch.probes.stacks.probe import StacksProbe

pid, rate, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
found, torn = Counter(), 0
with StacksProbe(lambda: [pid]) as probe:
    probe.read(time.monotonic_ns())
    begun, cpu = time.monotonic(), time.process_time()
    for beat in range(int(rate * seconds)):
        for record in probe.read(time.monotonic_ns()):
            if isinstance(record, ThreadStacks):
                torn += record.torn
                stacks = [record.table.stack(sample.stack) for sample in record.samples]
                found.update(tuple(frame.function for frame in stack if not frame.is_native) for stack in stacks)
        time.sleep(max(begun + (beat + 1) / rate - time.monotonic(), 0))
    cpu = time.process_time() - cpu
print(json.dumps([cpu, torn, [[list(stack), count] for stack, count in found.items()]]))
"""


@dataclass(frozen=True, slots=True)
class Watched:
    """One observer on one target for some seconds."""

    cpu: float
    """Of one core."""
    speed: float
    """Of the target's busy thread: rounds a second."""
    impossible: float
    """Of the busy thread's stacks."""
    stacks: int


class Target:
    """A running target."""

    def __init__(self, process: subprocess.Popen[str], threads: int) -> None:
        self.pid, self.threads = process.pid, threads
        self._process = process

    def rounds(self) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline().split()[0])


@contextlib.contextmanager
def target(threads: int) -> Iterator[Target]:
    command = [sys.executable, str(HERE / "stack_target.py"), str(threads)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield Target(process, threads)
        process.kill()


def children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def watch(observer: str | None, found: Target, rate: int, seconds: float) -> Watched:
    """Have one observer look at a target, or nobody."""
    rounds, begun = found.rounds(), time.perf_counter()
    if observer is None:
        time.sleep(seconds)
        cpu, stacks = 0.0, []
    elif observer == "perfwatch":
        cpu, stacks = _perfwatch(found.pid, rate, seconds)
    else:
        cpu, stacks = _py_spy(found.pid, rate, seconds, observer.split()[1:])
    passed = time.perf_counter() - begun
    speed = (found.rounds() - rounds) / passed
    busy = [(stack, count) for stack, count in stacks if "tortured" in stack]
    total = sum(count for _, count in busy)
    wrong = sum(count for stack, count in busy if is_impossible(stack))
    return Watched(cpu / seconds, speed, wrong / total if total else 0.0, sum(count for _, count in stacks))


def _perfwatch(pid: int, rate: int, seconds: float) -> tuple[float, list[tuple[list[str], int]]]:
    command = [sys.executable, "-c", SAMPLER, str(pid), str(rate), str(seconds)]
    cpu, _, stacks = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return cpu, stacks


def _py_spy(pid: int, rate: int, seconds: float, mode: Sequence[str]) -> tuple[float, list[tuple[list[str], int]]]:
    with tempfile.TemporaryDirectory() as directory:
        raw = Path(directory) / "raw"
        command = [str(PY_SPY), "record", "--pid", str(pid), "--rate", str(rate), "--duration", str(round(seconds))]
        command += ["--idle", "--format", "raw", "--output", str(raw), *mode]
        before = children_s()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cpu = children_s() - before
        lines = [line.rpartition(" ") for line in raw.read_text().splitlines()]
    return cpu, [([part.split(" (")[0] for part in stack.split(";")[::-1]], int(count)) for stack, _, count in lines]


def is_impossible(stack: Sequence[str]) -> bool:
    """Whether a function is called by one that never does; the innermost comes first."""
    return any(inner in CALLED_BY and outer not in CALLED_BY[inner] for inner, outer in pairwise(stack))


Results = dict[tuple[str, int, int], list[tuple[Watched, float]]]


def measure(rounds: int, seconds: float) -> Results:
    """Measure all, round by round: what was seen, and the speed of the target unobserved."""
    results: Results = defaultdict(list)
    for threads in THREADS:
        with target(threads) as found:
            for number in range(rounds):
                turns = [(observer, rate) for observer in OBSERVERS for rate in RATES]
                random.Random(number).shuffle(turns)
                alone = watch(None, found, 0, seconds).speed
                for observer, rate in turns:
                    results[observer, rate, threads].append((watch(observer, found, rate, seconds), alone))
                sys.stderr.write(f"{threads} threads: round {number + 1}/{rounds}\n")
    return results


def spread(values: Iterable[float], form: str) -> str:
    """Return the median, and the least and the greatest."""
    found = sorted(values)
    return f"{form.format(statistics.median(found))} ({form.format(found[0])}-{form.format(found[-1])})"


def table(results: Mapping[tuple[str, int, int], list[tuple[Watched, float]]], what: str) -> list[str]:
    figures = {
        "own": lambda pair: 100 * pair[0].cpu,
        "slowdown": lambda pair: 100 * (pair[1] / pair[0].speed - 1) if pair[0].speed else float("inf"),
        "impossible": lambda pair: 100 * pair[0].impossible,
    }
    rows = [f"| observer, Hz | {' | '.join(f'{n} threads' for n in THREADS)} |", "|---" * (len(THREADS) + 1) + "|"]
    for observer in OBSERVERS:
        for rate in RATES:
            cells = [spread(map(figures[what], results[observer, rate, n]), "{:.1f}") for n in THREADS]
            rows.append(f"| {observer}, {rate} | {' | '.join(cells)} |")
    return [*rows, ""]


def page(rounds: int, results: Results) -> str:
    """Return the whole result as Markdown."""
    machine = f"Linux {platform.release()}, {platform.machine()}, {psutil.cpu_count()} CPUs"
    return "\n".join(
        [
            "# What sampling stacks costs, and whether they are right",
            "",
            "<!-- written by benchmarks/stacks.py -->",
            "",
            f"{rounds} rounds in one run, each in an order of its own. {machine}, Python {platform.python_version()}.",
            "Medians, with the least and the greatest in brackets. One thread of the target is busy in functions of",
            "under a microsecond, the others are 17 frames deep and wake up 50 times a second.",
            "",
            "## The observer's CPU, in percent of a core",
            "",
            *table(results, "own"),
            "## The target's slowdown, in percent",
            "",
            *table(results, "slowdown"),
            "## Impossible stacks of the busy thread, in percent",
            "",
            *table(results, "impossible"),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--quick", action="store_true", help="1 round of 1 s: to see that it works")
    parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}")
    options = parser.parse_args()
    rounds, seconds = (1, 1.0) if options.quick else (options.rounds, options.seconds)
    text = page(rounds, measure(rounds, seconds))
    sys.stdout.write(text)
    if options.write:
        PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
