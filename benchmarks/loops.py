"""What following requests through an event loop costs: uvicorn at 1,000 requests a second, watched and not, in turn.

A round measures every cell once, in an order of its own. The load is the same for all: clients whose think times make
the rate. What the recorder uses is its process's own CPU clock, and of it the ledger's part by its report on itself;
what being watched adds to the server is the ratio of the server's CPU per request to `nothing` in the same round.

    python benchmarks/loops.py --quick
    python benchmarks/loops.py --rounds 6 --seconds 5 --write
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
from overhead import PAGE, write_section
from processes import END_S, READY_S, SETTLE_S, process_cpu_ns

from perfwatch.agent.session.reader import SessionReader
from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, run
from perfwatch.examples.starting import await_answer, end_group, free_port, has_ended
from perfwatch.probes.records import Loss, ServedRequest
from perfwatch.probes.samples import CollectorSample
from perfwatch.probes.table import SIDE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HANDLERS: Final = {"/": "empty handler", "/call": "handler with one call"}
SERVERS: Final = {"asyncio, h11": ("asyncio", "h11"), "uvloop, httptools": ("uvloop", "httptools")}
CLIENTS: Final = 25
PAUSE_S: Final = 0.024
WARM_S: Final = 0.5
POLL_S: Final = 0.02
BEGIN: Final = "<!-- loops: written by benchmarks/loops.py -->"
END: Final = "<!-- end of loops -->"
PERFWATCH: Final = str(Path(sys.executable).parent / "perfwatch")
WITHOUT: Final = [option for entry in SIDE if entry.name != "host" for option in ("--without", entry.name)]
OBSERVERS: Final[dict[str, list[str] | None]] = {"nothing": None, "ledger alone": WITHOUT, "perfwatch": []}
NEIGHBOUR: Final = """
import socketserver, sys
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
Server(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
"""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One observer on one handler of one server for some seconds."""

    round: int
    server: str
    handler: str
    observer: str
    requests_per_s: float
    cpu_us: float
    """The server's, per request."""
    observer_cpu: float
    """All of the recorder's, of one core."""
    ledger_cpu: float
    """The ledger probe's part of it, by the recorder's own account."""
    lost: int
    """Requests that were sent and not recorded, and events that did not fit."""


@contextlib.contextmanager
def server(loop: str, http: str) -> Iterator[tuple[int, str]]:
    """Run the target and its neighbour; yields its PID and address."""
    port, address = free_port(), f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "uvicorn", "--loop", loop, "--http", http, "--lifespan", "off"]
    command += ["--log-level", "warning", "--no-access-log", "--port", address.rpartition(":")[2], "loop_target:app"]
    neighbour = subprocess.Popen([sys.executable, "-c", NEIGHBOUR, str(port)], start_new_session=True)
    process = subprocess.Popen(
        command, cwd=Path(__file__).parent, start_new_session=True, env={"NEIGHBOUR_PORT": str(port)}
    )
    try:
        await_answer(process, address, "/", READY_S)
        yield process.pid, address
    finally:
        end_group(process)
        end_group(neighbour)


@contextlib.contextmanager
def recorder(options: list[str] | None, pid: int, file: Path) -> Iterator[list[int]]:
    """Record for the block; yields the recorder's PIDs, none for `nothing`."""
    if options is None:
        yield []
        return
    process = subprocess.Popen(
        [PERFWATCH, "record", "--pid", str(pid), *options, "-o", str(file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + READY_S
        while not file.exists() and time.monotonic() < deadline and not has_ended(process, POLL_S):
            pass
        if has_ended(process, SETTLE_S):
            raise RuntimeError("perfwatch ended")
        yield [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        process.send_signal(signal.SIGINT)
        if not has_ended(process, END_S):
            raise RuntimeError("perfwatch does not end")
    finally:
        end_group(process)


def measure(number: int, name: str, handler: str, observer: str, seconds: float) -> Measurement:
    """Start the server, attach, load, read the clocks, and ask the recording what it lost."""
    load = [Endpoint(Call(handler), clients=CLIENTS, pause_s=PAUSE_S)]
    with tempfile.TemporaryDirectory(prefix="perfwatch-bench-") as directory, server(*SERVERS[name]) as (pid, address):
        file = Path(directory) / "session"
        with recorder(OBSERVERS[observer], pid, file) as pids:
            warm = run(address, load, WARM_S, seed=number)
            own_ns, cpu_ns, begun_ns = sum(map(process_cpu_ns, pids)), process_cpu_ns(pid), time.monotonic_ns()
            samples = run(address, load, seconds, seed=number)
            took_ns = time.monotonic_ns() - begun_ns
            cpu_ns, own_ns = process_cpu_ns(pid) - cpu_ns, sum(map(process_cpu_ns, pids)) - own_ns
        if any(sample.status != 200 for sample in samples):
            raise RuntimeError(f"{observer}: the server failed")
        ledger_cpu, lost = account(file, len(warm) + len(samples)) if pids else (0.0, 0)
    rate, cpu_us = len(samples) / (took_ns / 1e9), cpu_ns / len(samples) / 1e3
    return Measurement(number, name, handler, observer, rate, cpu_us, own_ns / took_ns, ledger_cpu, lost)


def account(file: Path, sent: int) -> tuple[float, int]:
    """Return the ledger probe's CPU, of one core, and how much of what was sent is missing, as the recording says."""
    costs, seen, lost = [], set(), 0
    with SessionReader(file) as session:
        for record in session.records():
            if isinstance(record, CollectorSample):
                costs.append((record.at_ns, sum(cost.cpu_ns for cost in record.probes if cost.name == "ledger")))
            elif isinstance(record, ServedRequest):
                seen.add(record.id)
            elif isinstance(record, Loss):
                lost += record.lost
    (first_ns, before_ns), (last_ns, after_ns) = costs[0], costs[-1]
    return (after_ns - before_ns) / (last_ns - first_ns), lost + abs(sent - len(seen))


def measure_all(rounds: int, seconds: float) -> list[Measurement]:
    """Measure everything, round by round, each in an order of its own; about 4 s more than `seconds` each."""
    results = []
    for number in range(rounds):
        cells = [(name, handler, observer) for name in SERVERS for handler in HANDLERS for observer in OBSERVERS]
        random.Random(number).shuffle(cells)
        for cell in cells:
            results.append(measure(number, *cell, seconds))
            sys.stderr.write(f"round {number + 1}/{rounds}: {cell}\n")
    return results


def table(results: Sequence[Measurement], name: str, handler: str) -> list[str]:
    """Return the Markdown rows for one handler of one server."""
    rows = [
        f"**uvicorn ({name}), {HANDLERS[handler]}**",
        "",
        "| observer | requests/s | CPU per request | ratio | its own CPU | of it the ledger | per request | lost |",
        "|---|---|---|---|---|---|---|---|",
    ]
    cells = [result for result in results if (result.server, result.handler) == (name, handler)]
    bases = {result.round: result.cpu_us for result in cells if result.observer == "nothing"}
    for observer in OBSERVERS:
        mine = [result for result in cells if result.observer == observer]
        ratios = [result.cpu_us / bases[result.round] for result in mine]
        own, rate = statistics.median(r.observer_cpu for r in mine), statistics.median(r.requests_per_s for r in mine)
        rows.append(
            f"| {observer} | {rate:.0f} | {statistics.median(r.cpu_us for r in mine):.0f} us "
            f"| {statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f}) | {100 * own:.1f} % "
            f"| {100 * statistics.median(r.ledger_cpu for r in mine):.1f} % | {own / rate * 1e6:.0f} us "
            f"| {sum(r.lost for r in mine)} |"
        )
    return [*rows, ""]


def section(results: Sequence[Measurement], rounds: int, seconds: float) -> str:
    """Return the whole result as Markdown."""
    machine = f"Linux {platform.release()}, {platform.machine()}, {psutil.cpu_count()} CPUs"
    lines = [
        BEGIN,
        "## What following requests through an event loop costs",
        "",
        f"{rounds} rounds of {seconds:g} s per cell, in one run, each round in an order of its own; uvicorn with",
        f"one process, {CLIENTS} clients that think for {PAUSE_S * 1000:g} ms.",
        f"{machine}, Python {platform.python_version()}.",
        "Medians; ratios are to `nothing` in the same round, with the least and the greatest in brackets.",
        "`its own CPU` is the recorder's whole process, of one core; `lost` adds up what was sent and is not in the",
        "recordings.",
        "",
    ]
    for name in SERVERS:
        for handler in HANDLERS:
            lines += table(results, name, handler)
    return "\n".join([*lines, END, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load per cell")
    parser.add_argument("--quick", action="store_true", help="1 round of 3 s: to see that it works")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    options = parser.parse_args()
    rounds, seconds = (1, 3.0) if options.quick else (options.rounds, options.seconds)
    text = section(measure_all(rounds, seconds), rounds, seconds)
    sys.stdout.write(text)
    if options.write:
        write_section(text, BEGIN, END)
    return 0


if __name__ == "__main__":
    sys.exit(main())
