"""What the correlator costs: CPU for each second of a stream of thousands of requests, and its memory over a day.

The stream is that of `tests/record_stream.py`: threads and event loops, calls, slow requests with stacks, corrections,
and the samples of all probes. It is made before the clock runs, which is the CPU time of this process. A live screen
asks for four views a second, which are counted apart. For memory the same is sent at a lower rate through a whole day:
all that is kept is bounded by counts or by seconds, and is full long before its end.

    python benchmarks/correlator.py --quick
    python benchmarks/correlator.py --write
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
from rounds import in_rounds, machine
from rounds import run as run_benchmark

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import making
from record_stream import Stream

from perfwatch.agent.correlator.engine import Correlator

if TYPE_CHECKING:
    from collections.abc import Sequence

RATES: Final = (500, 1000, 5000)
WARM_S: Final = 5
VIEWS: Final = 4
DAY_S: Final = 86_400
PARTS: Final = 8
DAY_STEPS: Final = 21_600
"""Seconds of the day that have records: every fourth."""
DAY_RATE: Final = 12
QUICK_S: Final = 2
QUICK_DAY_S: Final = 2000


@dataclass(frozen=True, slots=True)
class Second:
    """What one second of a stream cost."""

    rate: int
    feed_s: float
    """CPU time."""
    views_s: float
    """Of four views."""
    judged: int


def measure(rate: int, seconds: int) -> list[Second]:
    """Feed a session of so many seconds, after some that are not counted."""
    correlator, stream, measured = Correlator(making.info(cpus=8)), Stream(rate), []
    for number in range(WARM_S + seconds):
        records = list(stream.second(number))
        fed_s = views_s = 0.0
        judged = 0
        for part in range(VIEWS):
            begun = time.process_time()
            for record in records[part * len(records) // VIEWS : (part + 1) * len(records) // VIEWS]:
                judged += len(correlator.feed(record))
            fed = time.process_time()
            correlator.view()
            fed_s, views_s = fed_s + fed - begun, views_s + time.process_time() - fed
        if number >= WARM_S:
            measured.append(Second(rate, fed_s, views_s, judged))
    return measured


@dataclass(frozen=True, slots=True)
class Size:
    """What is held at one moment of a day."""

    hour: float
    requests: int
    blocks: int
    """Objects of Python, and parts of them, that are allocated."""
    rss_bytes: int


def day(rate: int, seconds: int) -> list[Size]:
    """Send a day through a correlator; returns the largest that was seen in each part of it."""
    correlator, stream, sizes = Correlator(making.info(cpus=8)), Stream(rate), []
    gc.collect()
    before, process = sys.getallocatedblocks(), psutil.Process()
    for part in range(PARTS):
        seen = []
        for number in range(part * seconds // PARTS, (part + 1) * seconds // PARTS):
            for record in stream.second(number * DAY_S // seconds):
                correlator.feed(record)
            if number % (seconds // PARTS // 16 or 1) == 0:
                seen.append((sys.getallocatedblocks() - before, process.memory_info().rss))
        blocks, rss = map(max, zip(*seen, strict=True))
        hour = (part + 1) * 24 / PARTS
        sizes.append(Size(hour, correlator.view().count, blocks, rss))
        sys.stderr.write(f"hour {hour:g}: {blocks} blocks, {rss >> 20} MiB\n")
    return sizes


def section(rounds: int, seconds: float) -> list[str]:
    """Measure all, and return the tables as lines of Markdown."""
    measured = in_rounds(rounds, RATES, lambda _, rate: measure(rate, round(seconds)))
    costs = {rate: [one for each in measured for one in each if one.rate == rate] for rate in RATES}
    sizes = day(DAY_RATE, DAY_STEPS if seconds > QUICK_S else QUICK_DAY_S)
    lines = [
        "## What the correlator costs",
        "",
        f"{rounds} sessions of {seconds:g} s of each stream, in one process; CPU time. {machine()}",
        "Half of the requests go through event loops, four of ten call another service, one of fifty is slow and has",
        "stacks. CPU is that of a second of the stream, in percent of a core: the median, with the least and the",
        "greatest in brackets; so is that of four views a second, as a screen asks for.",
        "",
        "| requests/s | CPU | per request | judged/s | views |",
        "|---|---|---|---|---|",
    ]
    for rate, each in costs.items():
        fed = [one.feed_s for one in each]
        lines.append(
            f"| {rate} | {_spread(fed)} | {statistics.median(fed) / rate * 1e6:.0f} us "
            f"| {statistics.mean(one.judged for one in each):.0f} | {_spread([one.views_s for one in each])} |"
        )
    lines += [
        "",
        "Memory over a day of requests, the most that was held in each part of it:",
        "",
        "| until hour | requests | allocated blocks | resident |",
        "|---|---|---|---|",
        *(f"| {one.hour:g} | {one.requests} | {one.blocks} | {one.rss_bytes >> 20} MiB |" for one in sizes),
        "",
    ]
    return lines


def _spread(each: Sequence[float]) -> str:
    return f"{100 * statistics.median(each):.1f} % ({100 * min(each):.1f}-{100 * max(each):.1f})"


if __name__ == "__main__":
    sys.exit(run_benchmark(__doc__, "correlator", section, (3, 8.0)))
