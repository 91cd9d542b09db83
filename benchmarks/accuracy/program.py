"""Runs what `benchmarks/faults.py` is asked to, and writes its page."""

from __future__ import annotations

import argparse
import itertools
import platform
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
import tables
from faults.labelled import cases
from rows import Row, rows_of
from runs import PLACE, VARIANTS, Plan, Runner, kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runs import Run

PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "accuracy.md"
BEGIN: Final = "<!-- written by benchmarks/faults.py -->"
END: Final = "<!-- end of what is written -->"
SEED: Final = 11
QUICK_RUNS: Final = 50


def plans(options: argparse.Namespace) -> Iterator[Plan]:
    """Yield what is to be run; with --calibrate new figures for all cases, over and over.

    Every second case is milder once, too: all of them would take an hour. Those that crowd the CPUs come last: the
    load average of those behind them would be theirs.
    """
    chosen = [case for case in cases() if any(part in case.name for part in options.only or [""])]
    chosen.sort(key=lambda case: "run-queue" in case.name)
    if options.quick:
        yield from (Plan(case, "drawn", options.seed) for case in random.Random(0).sample(chosen, QUICK_RUNS))
        return
    if options.calibrate is None:
        milder = {case.name for case in cases()[::2]}
        for case, variant in itertools.product(chosen, options.variants or VARIANTS):
            if options.variants or variant != "mild" or case.name in milder:
                yield Plan(case, variant, options.seed)
        return
    seed = options.seed
    while chosen:
        yield from (Plan(case, "drawn", seed) for case in chosen)
        seed += 1


def run_all(options: argparse.Namespace) -> None:
    """Run what is not there yet; says of each run what came of it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and with it all that was started
    started = time.monotonic()
    verdicts = sum(row.outcome != "absent" for row in rows_of(kept())) if options.calibrate else 0
    with Runner() as runner:
        for number, plan in enumerate(plans(options), 1):
            if options.calibrate and verdicts >= options.calibrate:
                return
            try:
                run = runner.run(plan)
            except Exception as error:  # noqa: BLE001 - one server that does not start is not the end of all
                sys.stderr.write(f"{plan.place.name} failed, and is run again the next time: {error!r}\n")
                continue
            if run is not None:
                rows = rows_of([run])
                verdicts += sum(row.outcome != "absent" for row in rows)
                sys.stderr.write(f"{time.monotonic() - started:5.0f} s {number}: {told(run, rows)}\n")


def told(run: Run, rows: Sequence[Row]) -> str:
    """Say in one line what came of a run."""
    if run.skipped:
        return f"{run.name} {run.variant}: skipped, {run.skipped}"
    each = ", ".join(
        f"{row.true.route} {row.outcome}" + ("" if row.outcome == "right" else f": {row.expected}, told {row.told}")
        for row in rows
    )
    return f"{run.name} {run.variant}: {each}"


def section(runs: Sequence[Run], rows: Sequence[Row]) -> str:
    """Return all tables as Markdown."""
    machine = f"Linux {platform.release()}, {platform.machine()}, {psutil.cpu_count()} CPUs"
    skipped = sorted({f"{run.name} ({run.skipped})" for run in runs if run.skipped})
    seeds = ", ".join(sorted({run.variant.partition("-")[2] for run in runs} - {""}, key=int))
    loads = sorted(run.load_average for run in runs if not run.skipped)
    count = f"{len({run.name for run in runs})} cases, {len(runs)} runs, seeds {seeds}, {time.strftime('%Y-%m-%d')}"
    lines = [
        BEGIN,
        "## Result",
        "",
        f"{count}. {machine}, Python {platform.python_version()};",
        f"load average per CPU {loads[len(loads) // 2]:.1f} (median over the runs).",
        f"Skipped: {'; '.join(skipped) or 'nothing'}.",
        "",
    ]
    parts = {
        "": tables.summary(rows),
        "### By mechanism": tables.by_mechanism(rows),
        "### What was planted, and what is told": tables.confusion(rows),
        "### Confidence": tables.calibration(rows),
        "### With the fault removed": tables.mending(rows),
        "### What is wrong": tables.wrong(rows),
    }
    for title, part in parts.items():
        lines += [title, "", *part, ""] if title else [*part, ""]
    return "\n".join([*lines, END, ""])


def write(text: str) -> None:
    """Put the tables into the page, in the place of those before."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(before + text + rest.partition(END)[2].lstrip("\n"))


def run(says: str) -> int:
    """Do what the command line asks; `says` is what --help begins with."""
    parser = argparse.ArgumentParser(description=says.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS} cases with drawn figures: 4 minutes")
    parser.add_argument("--seed", type=int, default=SEED, help="of the figures that are drawn")
    parser.add_argument("--calibrate", type=int, metavar="N", help="run cases with drawn figures up to N verdicts")
    parser.add_argument("--only", action="append", metavar="PART", help="cases whose name has this in it")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, help="all of these, of each case")
    parser.add_argument("--judge", action="store_true", help="run nothing: judge what was run")
    parser.add_argument("--fresh", action="store_true", help="forget what was run of these cases")
    parser.add_argument("--list", action="store_true", help="only name the cases")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    options = parser.parse_args()
    if options.list:
        sys.stdout.write("".join(f"{case.name}\n" for case in cases()))
        return 0
    if options.fresh:
        for place in PLACE.glob("*"):
            if any(part in place.name for part in options.only or [""]):
                shutil.rmtree(place)
    if not options.judge:
        run_all(options)
    runs = [run for run in kept() if any(part in run.name for part in options.only or [""])]
    if not runs:
        sys.stderr.write("nothing was run\n")
        return 1
    text = section(runs, rows_of(runs))
    sys.stdout.write(text)
    if options.write:
        write(text)
    return 0
