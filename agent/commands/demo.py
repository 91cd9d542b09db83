"""`perfwatch demo`: a real server with planted faults, under load, and perfwatch on it."""

from __future__ import annotations

import sys

import click

from perfwatch.agent.collector import Collector
from perfwatch.agent.commands.attach import show
from perfwatch.agent.commands.report import text_width
from perfwatch.agent.demo import start_demo
from perfwatch.agent.live import Live
from perfwatch.agent.recording import correlated
from perfwatch.agent.report import build, to_text
from perfwatch.agent.stopping import stop_on_signals
from perfwatch.agent.target import find_target


@click.command(
    epilog="""\b
Examples:
  perfwatch demo
  perfwatch demo --text          no screen: watch for 10 s and print the report
"""
)
@click.option("--text", is_flag=True, help="Print a report instead of opening the screen.")
@click.option(
    "--duration", type=click.FloatRange(1, 600), default=10.0, show_default=True, help="Seconds, with --text."
)
def demo(text: bool, duration: float) -> None:  # noqa: FBT001
    """Start a small shop on gunicorn whose pages are slow for different reasons, under load, and watch it."""
    with start_demo() as running:
        if not text and sys.stdin.isatty() and sys.stdout.isatty():
            show(Live(running.pid))
            return
        click.echo(f"watching the demo server at {running.address} for {duration:.0f} s", err=True)
        with stop_on_signals() as stop, Collector(find_target(running.pid)) as collector:
            correlator = correlated(collector, stop, duration)
        click.echo(to_text(build(collector.info, correlator.view()), text_width()), nl=False)
