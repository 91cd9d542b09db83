"""What following requests through an event loop costs: uvicorn at 1,000 requests a second, watched and not, in turn.

A round measures every cell once, in an order of its own. The load is the same for all: clients whose think times make
the rate. What the recorder uses is its process's own CPU clock, and of it the ledger's part by its report on itself;
what being watched adds to the server is the ratio of the server's CPU per request to `nothing` in the same round.

    python benchmarks/loops.py --quick
    python benchmarks/loops.py --rounds 6 --seconds 5 --write   # without options it takes less than 4 minutes
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from processes import READY_S, attached, observer_cpu_ns, process_cpu_ns
from rounds import in_rounds, machine, median, ratios
from rounds import run as run_benchmark

from perfwatch.agent.session.reader import SessionReader
from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, run
from perfwatch.examples.starting import await_answer, end_group, free_port
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
PERFWATCH: Final = str(Path(sys.executable).parent / "perfwatch")
WITHOUT: Final = [option for entry in SIDE if entry.name != "host" for option in ("--without", entry.name)]
OBSERVERS: Final[dict[str, list[str] | None]] = {"nothing": None, "ledger alone": WITHOUT, "perfwatch": []}
NEIGHBOUR: Final = """
import socketserver
class Pong(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            if line == b"PING\\r\\n":
                self.wfile.write(b"+PONG\\r\\n")
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
server = Server(("127.0.0.1", 0), Pong)
print(server.server_address[1], flush=True)
server.serve_forever()
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
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "uvicorn", "--loop", loop, "--http", http, "--lifespan", "off"]
    command += ["--log-level", "warning", "--no-access-log", "--port", address.rpartition(":")[2], "loop_target:app"]
    with neighbour() as port:
        process = subprocess.Popen(
            command, cwd=Path(__file__).parent, start_new_session=True, env={"NEIGHBOUR_PORT": port}
        )
        try:
            await_answer(process, address, "/", READY_S)
            yield process.pid, address
        finally:
            end_group(process)


@contextlib.contextmanager
def neighbour() -> Iterator[str]:
    """Run what the target calls; yields its port."""
    command = [sys.executable, "-c", NEIGHBOUR]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            end_group(process)


@contextlib.contextmanager
def recorder(options: list[str] | None, pid: int, file: Path) -> Iterator[list[int]]:
    """Record for the block; yields the recorder's PIDs, none for `nothing`."""
    if options is None:
        yield []
        return
    command = [PERFWATCH, "record", "--pid", str(pid), *options, "-o", str(file)]
    with attached(command, file.with_name("log"), made=file) as pids:
        yield pids


def measure(number: int, name: str, handler: str, observer: str, seconds: float) -> Measurement:
    """Start the server, attach, load, read the clocks, and ask the recording what it lost."""
    load = [Endpoint(Call(handler), clients=CLIENTS, pause_s=PAUSE_S)]
    with tempfile.TemporaryDirectory(prefix="perfwatch-bench-") as directory, server(*SERVERS[name]) as (pid, address):
        file = Path(directory) / "session"
        with recorder(OBSERVERS[observer], pid, file) as pids:
            warm = run(address, load, WARM_S, seed=number)
            own_ns, cpu_ns, begun_ns = observer_cpu_ns(pids), process_cpu_ns(pid), time.monotonic_ns()
            samples = run(address, load, seconds, seed=number)
            took_ns = time.monotonic_ns() - begun_ns
            cpu_ns, own_ns = process_cpu_ns(pid) - cpu_ns, observer_cpu_ns(pids) - own_ns
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
    """Measure everything, round by round; about 3 s more than `seconds` each."""
    cells = [(name, handler, observer) for name in SERVERS for handler in HANDLERS for observer in OBSERVERS]
    return in_rounds(rounds, cells, lambda number, cell: measure(number, *cell, seconds))


def table(results: Sequence[Measurement], name: str, handler: str) -> list[str]:
    """Return the Markdown rows for one handler of one server."""
    rows = [
        f"**uvicorn ({name}), {HANDLERS[handler]}**",
        "",
        "| observer | requests/s | CPU per request | ratio | its own CPU | per request | of it the ledger | lost |",
        "|---|---|---|---|---|---|---|---|",
    ]
    cells = [result for result in results if (result.server, result.handler) == (name, handler)]
    for observer in OBSERVERS:
        mine = [result for result in cells if result.observer == observer]
        rows.append(
            f"| {observer} | {median(mine, lambda r: r.requests_per_s):.0f} "
            f"| {median(mine, lambda r: r.cpu_us):.0f} us | {ratios(cells, observer, lambda r: r.cpu_us)} "
            f"| {100 * median(mine, lambda r: r.observer_cpu):.1f} % "
            f"| {median(mine, lambda r: r.observer_cpu / r.requests_per_s * 1e6):.0f} us "
            f"| {median(mine, lambda r: r.ledger_cpu / r.requests_per_s * 1e6):.0f} us "
            f"| {sum(r.lost for r in mine)} |"
        )
    return [*rows, ""]


def section(rounds: int, seconds: float) -> list[str]:
    """Measure, and return the whole result as lines of Markdown."""
    results = measure_all(rounds, seconds)
    lines = [
        "## What following requests through an event loop costs",
        "",
        f"{rounds} rounds of {seconds:g} s per cell, in one run, each round in an order of its own; uvicorn with",
        f"one process, {CLIENTS} clients that think for {PAUSE_S * 1000:g} ms; the call is a PING to a neighbour that",
        f"speaks as Redis does. {machine()}",
        "Medians; ratios are to `nothing` in the same round, with the least and the greatest in brackets.",
        "`its own CPU` is the recorder's whole process, of one core, and what that is per request; `of it the ledger`",
        "what the probe alone takes of that. `lost` adds up what was sent and is not in the recordings.",
        "",
    ]
    for name in SERVERS:
        for handler in HANDLERS:
            lines += table(results, name, handler)
    return lines


if __name__ == "__main__":
    sys.exit(run_benchmark(__doc__, "loops", section, (3, 2.5)))
