"""How fast a session file grows: the demo's shop on 20 threads, 200 requests a second, all stacks 100 times a second.

The shop has its own slow pages besides, each with its waits and stacks. What is measured is the finished file, by the
seconds that it tells of; its tables by SQLite's own count of their pages (`dbstat`).

    python benchmarks/session_size.py --quick
    python benchmarks/session_size.py --write
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from processes import PRIVATE, READY_S, attached
from rounds import machine, put

from perfwatch.agent.session.reader import SessionReader
from perfwatch.examples.demo_load import MIX
from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load
from perfwatch.examples.starting import await_answer, await_listening, end_group, free_port
from perfwatch.examples.suggestions import PORT
from perfwatch.probes.frames import ThreadStacks
from perfwatch.probes.records import ServedRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

THREADS: Final = 20
RATE_HZ: Final = 100
LOAD: Final = (*MIX, Endpoint(Call("/item/{n}"), clients=27, pause_s=0.15))
"""The demo's 35 requests a second, and what makes 200 of them."""
SECONDS: Final = 120
QUICK_S: Final = 10
AT_MOST: Final = 20_000
"""Bytes a second."""
PERFWATCH: Final = Path(sys.executable).with_name("perfwatch")


class Grown(NamedTuple):
    """One session."""

    seconds: float
    bytes: int
    requests: int
    samples: int
    """Stacks of single threads."""
    tables: dict[str, int]
    """Bytes of each, the largest first."""


@contextlib.contextmanager
def shop() -> Iterator[tuple[int, str]]:
    """Run the shop; yields its PID and address."""
    address, neighbour = f"127.0.0.1:{free_port()}", free_port()
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", str(THREADS)]
    command += ["--graceful-timeout", "1", "--keep-alive", "75", "--config", PRIVATE, "--bind", address]
    places = {"env": {**os.environ, PORT: str(neighbour)}, "start_new_session": True, "stderr": subprocess.DEVNULL}
    behind = subprocess.Popen([sys.executable, "-m", "perfwatch.examples.suggestions", str(neighbour)], **places)
    server = subprocess.Popen([*command, "perfwatch.examples.demo_app:app"], **places)
    try:
        await_listening(behind, f"127.0.0.1:{neighbour}", READY_S)
        await_answer(server, address, "/item/1", READY_S)
        yield server.pid, address
    finally:
        end_group(server)
        end_group(behind)


def recorded(path: Path, seconds: float) -> None:
    """Record the shop under its load, as a user would."""
    with shop() as (pid, address), Load(address, LOAD) as load:
        command = [str(PERFWATCH), "record", "--pid", str(pid), "-o", str(path)]
        command += ["--rate", f"stacks={RATE_HZ}", "--budget", "100"]
        with attached(command, path.with_name("log"), made=path):
            load.wait(seconds)


def measure(path: Path) -> Grown:
    """Count what a finished session holds, and what that takes."""
    requests = samples = 0
    with SessionReader(path) as reader:
        for record in reader.records():
            requests += isinstance(record, ServedRequest)
            samples += len(record.samples) if isinstance(record, ThreadStacks) else 0
        seconds = (reader.last_ns - reader.first_ns) / 1e9
    with contextlib.closing(sqlite3.connect(path)) as db:
        counted = "SELECT name, sum(pgsize) AS size FROM dbstat GROUP BY name ORDER BY size DESC"
        return Grown(seconds, path.stat().st_size, requests, samples, dict(db.execute(counted)))


def section(grown: Grown) -> list[str]:
    """Return the table as lines of Markdown."""
    seconds = grown.seconds
    return [
        "## How fast a session grows",
        "",
        f"The demo's shop on {THREADS} threads: {grown.requests / seconds:.0f} requests a second, and",
        f"{grown.samples / seconds:,.0f} stacks of single threads. {machine()}",
        f"In all {grown.bytes / seconds / 1e3:.1f} kB/s, at most {AT_MOST / 1e3:.0f} are promised; by table:",
        "",
        "| table | kB/s |",
        "|---|---|",
        *(f"| `{name}` | {size / seconds / 1e3:.2f} |" for name, size in list(grown.tables.items())[:8]),
        "",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Record, and print or write the section; fails where the promise is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_S} s: to see that it works")
    parser.add_argument("--session", type=Path, help="measure this one")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the session")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks.md")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="perfwatch-bench-", dir="/var/tmp") as directory:
        path = options.session or Path(directory) / "s.perfwatch"
        if options.session is None:
            recorded(path, QUICK_S if options.quick else SECONDS)
        if options.keep:
            options.keep.write_bytes(path.read_bytes())
        grown = measure(path)
    lines = section(grown)
    sys.stdout.write("\n".join([*lines, ""]))
    if options.write:
        put("session_size", lines)
    return int(grown.bytes / grown.seconds > AT_MOST)


if __name__ == "__main__":
    sys.exit(main())
