"""`perfwatch record`: attach to a process and write what happens to a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from perfwatch.agent import heap
from perfwatch.agent.collector import Collector
from perfwatch.agent.commands import options
from perfwatch.agent.commands.audience_options import audience_options, say
from perfwatch.agent.commands.lacks import tell_lacks
from perfwatch.agent.commands.service_options import ServiceChoice, service_choice
from perfwatch.agent.recording import recorded
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.agent.stopping import stop_on_signals
from perfwatch.agent.target import find_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.choices import Choices
    from perfwatch.agent.export.audience import Audience
    from perfwatch.agent.service.settings import Settings
    from perfwatch.agent.target import Target


@click.command(
    epilog="""\b
Examples:
  perfwatch record --pid 4312 --duration 60 -o slow.perfwatch
  perfwatch record --pid 4312 --slow-ms 100        until Ctrl-C
  perfwatch record --pid 4312 --pid 4400           two servers: calls are followed from one into the other
  perfwatch record --pid 4312 --fidelity sampled --without wire --rate disk=0.2
  perfwatch record --pid 4312 --prometheus 9464 --otlp http://localhost:4318
  perfwatch record --service --target name:gunicorn --retain 7d --max-size 10GB
  perfwatch record --service --target port:8000 --flight 10m --keep-on 500ms --keep-on lock
  perfwatch record --service --prometheus 9464     the metrics of all servers at one address
"""
)
@options.pids()
@click.option("--duration", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Stop after S seconds.")
@options.slow_ms
@options.output
@audience_options
@service_choice
@options.choices
def record(  # noqa: PLR0913 - one for each option
    *,
    pids: tuple[int, ...],
    duration: float | None,
    slow_ms: float | None,
    output: Path | None,
    overwrite: bool,
    audience: Audience,
    choice: ServiceChoice,
    choices: Choices,
) -> None:
    """Record a running server to a file, for `report` and `replay`; with --service, servers as they come and go."""
    choice.refuse_alone()
    if choice.service:
        if pids or duration or output or overwrite:
            raise click.UsageError("--service takes --target and --dir, not --pid, --duration, --output or --overwrite")
        _serve(choice.settings(slow_ms, choices, audience))
        return
    if not pids:
        raise click.UsageError("Missing option '--pid' (or --service).")
    targets = find_targets(pids)
    path = output or Path(f"perfwatch-{pids[0]}-{time.strftime('%Y%m%d-%H%M%S')}.perfwatch")
    with (
        stop_on_signals() as stop,
        audience.opened(say) as follow,
        Collector(*targets, slow_ms=slow_ms, choices=choices) as collector,
        SessionWriter(path, collector.info, overwrite=overwrite) as writer,
    ):
        heap.settle()
        click.echo(f"recording {_named(targets)} to {path}; Ctrl-C ends it", err=True)
        tell_lacks(collector.info)
        for state, _ in recorded(collector, writer, stop, duration, live=follow(collector.info)):
            correlator = state
    view = correlator.view()
    seconds = (view.now_ns - view.first_ns) / 1e9
    if collector.ended:
        click.echo(f"the target has ended: {collector.ended}", err=True)
    click.echo(
        f"recorded {view.count} requests, {view.slow_count} slow, in {seconds:.1f} s; perfwatch report {path}",
        err=True,
    )


def _serve(settings: Settings) -> None:
    from perfwatch.agent.service.supervisor import serve  # noqa: PLC0415 - only the service needs it

    serve(settings)


def _named(targets: Sequence[Target]) -> str:
    kind = "process" if len(targets) == 1 else "processes"
    return f"{kind} {', '.join(target.named for target in targets)}"
