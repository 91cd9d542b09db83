"""`perfwatch record`: attach to a process and write what happens to a file."""

from __future__ import annotations

import time
from pathlib import Path

import click

from perfwatch.agent.collector import Collector
from perfwatch.agent.commands import options
from perfwatch.agent.recording import recorded
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.agent.stopping import stop_on_signals
from perfwatch.agent.target import find_target


@click.command(
    epilog="""\b
Examples:
  perfwatch record --pid 4312 --duration 60 -o slow.perfwatch
  perfwatch record --pid 4312 --slow-ms 100        until Ctrl-C
"""
)
@click.option("--pid", type=options.PID, required=True, help="The server; its workers are followed.")
@click.option("--duration", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Stop after S seconds.")
@options.slow_ms
@options.output
def record(
    pid: int,
    duration: float | None,
    slow_ms: float | None,
    output: Path | None,
    overwrite: bool,  # noqa: FBT001
) -> None:
    """Record a running server to a file, for `report` and `replay`."""
    target = find_target(pid)
    path = output or Path(f"perfwatch-{pid}-{time.strftime('%Y%m%d-%H%M%S')}.perfwatch")
    with (
        stop_on_signals() as stop,
        Collector(target, slow_ms=slow_ms) as collector,
        SessionWriter(path, collector.info, overwrite=overwrite) as writer,
    ):
        click.echo(f"recording process {pid} to {path}; Ctrl-C ends it", err=True)
        for state, _ in recorded(collector, writer, stop, duration):
            correlator = state
    view = correlator.view()
    seconds = (view.now_ns - view.first_ns) / 1e9
    if collector.ended:
        click.echo(f"the target has ended: {collector.ended}", err=True)
    click.echo(
        f"recorded {view.count} requests, {view.slow_count} slow, in {seconds:.1f} s; perfwatch report {path}",
        err=True,
    )
