"""What the screen costs: the first paint, from a key to its paint, and CPU, of the installed program in a terminal.

The stream is that of `tests/record_stream.py`, recorded and replayed at its own speed: 1,000 requests/s of 200
endpoints in 200 threads, with the samples of all probes. So the figures have in them what it takes to read a
recording and to judge its requests; the thread that paints is counted for itself too. A key is answered when what it
does stands on the terminal: the mark in the next row, the other page.

    python benchmarks/tui.py --quick
    python benchmarks/tui.py --write
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from processes import process_cpu_ns
from pseudo_terminal import PseudoTerminal, pseudo_terminal
from rounds import in_rounds, machine
from rounds import run as run_benchmark

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import making
from record_stream import PROCESSES, Stream

from perfwatch.agent.session.writer import SessionWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PERFWATCH: Final = str(Path(sys.executable).with_name("perfwatch"))
RATE: Final = 1_000
ROUTES: Final = tuple(
    f"/api/{name}-{number}/{{}}" for name in ("user", "order", "item", "cart") for number in range(50)
)
THREADS: Final = 200
SIZES: Final = ((80, 24), (120, 40), (300, 80))
RECORDED_S: Final = 60
WARM_S: Final = 6.0
KEY_PAUSE_S: Final = 0.07
"""Between keys, so that they come at all moments between two frames."""
DOWN, UP, ENTER, ESCAPE = b"\x1b[B", b"\x1b[A", b"\r", b"\x1b"


@dataclass(frozen=True, slots=True)
class Measured:
    """One run in a terminal of one size."""

    size: tuple[int, int]
    first_ms: float
    """Until the first screen stands there."""
    first_cpu_ms: float
    """CPU time until then: what of it does not depend on who else uses the machine."""
    figures_ms: float
    """Until there are figures on it."""
    row_ms: list[float]
    page_ms: list[float]
    detail_ms: list[float]
    cpu: float
    """Of a core, while nobody presses a key."""
    paint_cpu: float
    """Of that, the thread that paints."""
    bytes_per_s: float


def record(file: Path, seconds: int) -> None:
    """Write the stream as a recording."""
    stream = Stream(RATE, routes=ROUTES, threads=THREADS // PROCESSES)
    with SessionWriter(file, making.info(cpus=8)) as writer:
        for number in range(seconds):
            for one in stream.second(number):
                writer.write(one)
            writer.commit()
        writer.close("stopped")


def measure(file: Path, size: tuple[int, int], seconds: float) -> Measured:
    """Open the recording in a terminal, wait, watch, and press keys."""
    begun = time.monotonic()
    with pseudo_terminal([PERFWATCH, "replay", str(file)], *size) as screen:
        first = screen.until(lambda now: now.has("verdict") or now.has("endpoints"))
        first_cpu_ms = process_cpu_ns(screen.process.pid) / 1e6
        figures = screen.until(lambda now: now.has("/api/"))
        screen.read_for(WARM_S)
        cpu, paint_cpu, rate = watch(screen, seconds)
        presses = max(4, round(seconds * 6))
        row_ms = [press_row(screen, number) for number in range(presses)]
        page_ms = [press_page(screen, number) for number in range(presses // 2 * 2)]
        detail_ms = [press_detail(screen) for _ in range(presses // 2)]
    first_ms, figures_ms = 1e3 * (first - begun), 1e3 * (figures - begun)
    return Measured(size, first_ms, first_cpu_ms, figures_ms, row_ms, page_ms, detail_ms, cpu, paint_cpu, rate)


def watch(screen: PseudoTerminal, seconds: float) -> tuple[float, float, float]:
    """Return the CPU of all threads, that of the painting one, and how many bytes a second came."""
    pid = screen.process.pid
    before = process_cpu_ns(pid), thread_cpu_ns(pid), screen.bytes_read, time.monotonic()
    screen.read_for(seconds)
    passed_s = time.monotonic() - before[3]
    cpu, paint = process_cpu_ns(pid) - before[0], thread_cpu_ns(pid) - before[1]
    return cpu / 1e9 / passed_s, paint / 1e9 / passed_s, (screen.bytes_read - before[2]) / passed_s


def thread_cpu_ns(pid: int) -> int:
    """CPU time of the first thread of a process, the one that paints: of `4711 25 3` the first figure."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0])


def answered(screen: PseudoTerminal, key: bytes, condition: Callable[[PseudoTerminal], bool]) -> float:
    """Press a key; return the milliseconds until the screen shows what it does."""
    screen.read_for(KEY_PAUSE_S)
    begun = time.monotonic()
    screen.press(key)
    return 1e3 * (screen.until(condition) - begun)


def press_row(screen: PseudoTerminal, number: int) -> float:
    """Move down one row, and the next time up again."""
    heading = screen.row_of("endpoints") or 0
    now = screen.row_of("▶", heading) or heading + 1
    key, there = (DOWN, now + 1) if number % 2 == 0 else (UP, now - 1)
    return answered(screen, key, lambda now: "▶" in now.lines[there])


def press_page(screen: PseudoTerminal, number: int) -> float:
    """Go to the host's page, and the next time back."""
    if number % 2 == 0:
        return answered(screen, b"9", lambda now: now.has("run queue") or now.has("resources"))
    return answered(screen, b"1", lambda now: now.has("endpoints") and now.has("slow requests"))


def press_detail(screen: PseudoTerminal) -> float:
    """Open the endpoint under the cursor; closing it is not counted."""
    took_ms = answered(screen, ENTER, lambda now: now.has("mean ledger"))
    answered(screen, ESCAPE, lambda now: now.has("endpoints") and not now.has("mean ledger"))
    return took_ms


def section(rounds: int, seconds: float) -> list[str]:
    """Measure all, and return the table as lines of Markdown."""
    with tempfile.TemporaryDirectory(prefix="perfwatch-benchmark-") as directory:
        file = Path(directory) / "session.perfwatch"
        record(file, RECORDED_S if seconds > 2 else RECORDED_S // 2)
        results = in_rounds(rounds, SIZES, lambda _, size: measure(file, size, seconds))
    lines = [
        "## What the screen costs",
        "",
        f"`perfwatch replay` in a pseudo terminal: {RATE} requests/s, {len(ROUTES)} endpoints, {THREADS} threads;",
        f"{rounds} rounds of {seconds:g} s. {machine()}",
        "From the start of the program to the first screen, and to the first figures on it; from a key to what it does",
        "on the terminal, median and 95th percentile. CPU, of a core, with nobody at the keys: of the thread that",
        "paints 4 frames a second, and of all, which has the reading of the recording and the judging in it.",
        "",
        "| terminal | first paint | its CPU | figures | next row | other page | detail | paint CPU | all CPU | out |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for size in SIZES:
        mine = [one for one in results if one.size == size]
        first, first_cpu, figures, paint, cpu, rate = (
            statistics.median(getattr(one, name) for one in mine)
            for name in ("first_ms", "first_cpu_ms", "figures_ms", "paint_cpu", "cpu", "bytes_per_s")
        )
        keys = (_keys([ms for one in mine for ms in getattr(one, name)]) for name in ("row_ms", "page_ms", "detail_ms"))
        lines.append(
            f"| {size[0]}x{size[1]} | {first:.0f} ms | {first_cpu:.0f} ms | {figures:.0f} ms | {' | '.join(keys)} "
            f"| {100 * paint:.1f} % | {100 * cpu:.1f} % | {rate / 1e3:.0f} kB/s |"
        )
    return [*lines, ""]


def _keys(each: Sequence[float]) -> str:
    return f"{statistics.median(each):.0f}, {statistics.quantiles(each, n=20)[-1]:.0f} ms"


if __name__ == "__main__":
    sys.exit(run_benchmark(__doc__, "tui", section, (3, 8.0)))
