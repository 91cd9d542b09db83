"""`perfwatch demo`: a real server with planted faults, under load, and perfwatch on it."""

from __future__ import annotations

import sys

import click

from perfwatch.agent.collector import Collector
from perfwatch.agent.commands.attach import diagnosed, show
from perfwatch.agent.commands.report import text_width
from perfwatch.agent.demo import start_demo, start_services
from perfwatch.agent.live import Live
from perfwatch.agent.recording import correlated
from perfwatch.agent.report import build, to_text
from perfwatch.agent.stopping import stop_on_signals
from perfwatch.agent.target import find_targets


@click.command(
    epilog="""\b
Examples:
  perfwatch demo
  perfwatch demo --services      two servers, and requests followed from one into the other
  perfwatch demo --text          no screen: watch for 10 s and print the report
"""
)
@click.option("--text", is_flag=True, help="Print a report instead of opening the screen.")
@click.option(
    "--duration", type=click.FloatRange(1, 600), default=10.0, show_default=True, help="Seconds, with --text."
)
@click.option(
    "--services", is_flag=True, help="Watch two servers: a storefront on asyncio, and the prices that it asks for."
)
def demo(*, text: bool, duration: float, services: bool) -> None:
    """Start a small shop on gunicorn whose pages are slow for different reasons, under load, and watch it."""
    with start_services() if services else start_demo() as running:
        pids = (running.pid, *running.behind)
        if not text and sys.stdin.isatty() and sys.stdout.isatty():
            show(Live(*pids), diagnose=diagnosed)
            return
        click.echo(f"watching the demo server at {running.address} for {duration:.0f} s", err=True)
        with stop_on_signals() as stop, Collector(*find_targets(pids)) as collector:
            correlator = correlated(collector, stop, duration)
        click.echo(to_text(build(collector.info, correlator.view()), text_width()), nl=False)
