"""What a long recording costs to open and to move in: a day of a busy server, at random moments.

The session is that of `long_session.py`: 2 GB, 86,400 seconds, 68 requests a second and the samples of all probes.
A process of its own opens it as a screen does, and goes to moments drawn at random; a picture is there when the
correlator has taken in what the source gives for it at once, and its view is made. Before half of the seeks, and before
it is opened, the system is told to forget the file (`cold`). The memory is the most that the process ever had.

    python benchmarks/seeking.py --quick                    a session of an hour
    python benchmarks/seeking.py --write                    makes the session first: half an hour
    python benchmarks/seeking.py --session FILE --write
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import long_session
import msgspec
from rounds import machine, put

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE: Final = Path(__file__).parent.parent / "docs" / "benchmarks-tui.md"
SEEKS: Final = 100
QUICK_S: Final = 3600


class Measured(msgspec.Struct):
    """Seconds, wall clock, and MiB."""

    bytes: int
    seconds: float
    opened_s: float
    first_s: float
    seeks_s: list[float]
    cold_s: list[float]
    data_s: list[float]
    """Of each, both kinds: what it took to read the records."""
    cpu_s: list[float]
    enough_s: list[float]
    marks_s: float
    rss_mib: int


def measure(path: Path, seeks: int) -> Measured:
    """Open the session, and go to random moments of it."""
    forget(path)
    begun = time.perf_counter()
    source = Replay(path)
    opened_s = time.perf_counter() - begun
    looked(source)
    first_s = time.perf_counter() - begun
    source.pause(paused=True)
    position, chance = source.pull(0).position, random.Random(1)
    measured = Measured(
        path.stat().st_size, (position.last_ns - position.first_ns) / 1e9, opened_s, first_s, [], [], [], [], [], 0.0, 0
    )
    for number in range(seeks):
        if number % 2:
            forget(path)
        begun, used = time.perf_counter(), time.process_time()
        source.seek(chance.randrange(position.first_ns, position.last_ns))
        measured.data_s.append(looked(source))
        (measured.cold_s if number % 2 else measured.seeks_s).append(time.perf_counter() - begun)
        measured.cpu_s.append(time.process_time() - used)
        if number % 10 == 0:
            begun = time.perf_counter()
            looked(source)
            measured.enough_s.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    source.read_marks(lambda: float("inf"))
    measured.marks_s = time.perf_counter() - begun
    measured.rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    source.close()
    return measured


def looked(source: Replay) -> float:
    """Pull until the picture is complete, and make it; returns how long the source took."""
    correlator, pulled_s = Correlator(source.info), 0.0
    while True:
        begun = time.perf_counter()
        batch = source.pull(0)
        pulled_s += time.perf_counter() - begun
        for record in batch.records:
            correlator.feed(record)
        if not batch.is_filling:
            correlator.view()
            return pulled_s


def forget(path: Path) -> None:
    """Let the system drop what it keeps of a file in memory."""
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def section(measured: Measured) -> list[str]:
    """Return the table as lines of Markdown."""
    hours = measured.seconds / 3600
    return [
        "## Opening a long recording, and moving in it",
        "",
        f"A session of {hours:.1f} h, {measured.bytes / 1e9:.2f} GB. {machine()}",
        "A picture: what is given for it at once is taken in, and the view is made; `cold`: the system was told to",
        "forget the file before. The longer look back follows where nobody goes on. Wall clock, in ms.",
        "",
        "| | p50 | p95 | max |",
        "|---|---|---|---|",
        f"| open, cold | {measured.opened_s * 1e3:.0f} | | |",
        f"| first picture, cold | {measured.first_s * 1e3:.0f} | | |",
        f"| a picture at a random moment | {_spread(measured.seeks_s)} |",
        f"| the same, cold | {_spread(measured.cold_s)} |",
        f"| the data of these, both kinds | {_spread(measured.data_s)} |",
        f"| the same, CPU time of both | {_spread(measured.cpu_s)} |",
        f"| the longer look back | {_spread(measured.enough_s)} |",
        "",
        f"The marks of the whole recording are read meanwhile, in {measured.marks_s:.1f} s in all.",
        f"The process had at most {measured.rss_mib} MiB.",
        "",
    ]


def _spread(each: Sequence[float]) -> str:
    ordered = sorted(each)
    figures = (statistics.median(ordered), ordered[int(len(ordered) * 0.95)], ordered[-1])
    return " | ".join(f"{figure * 1e3:.0f}" for figure in figures)


def main() -> int:
    """Measure in a process of its own, and print or write the section."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--session", type=Path, help="a session that was made before by long_session.py")
    parser.add_argument("--quick", action="store_true", help="a session of an hour: to see that it works")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        sys.stdout.buffer.write(msgspec.json.encode(measure(options.session, SEEKS)))
        return 0
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        path = options.session or Path(directory) / "day.perfwatch"
        if options.session is None:
            long_session.write(path, QUICK_S if options.quick else long_session.DAY_S)
        told = subprocess.run(
            [sys.executable, __file__, "--measure", "--session", path], check=True, capture_output=True
        )
    lines = section(msgspec.json.decode(told.stdout, type=Measured))
    sys.stdout.write("\n".join([*lines, ""]))
    if options.write:
        put("seeking", lines, PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
