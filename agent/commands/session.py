"""`perfwatch session`: what can be done with the file of a recording."""

from __future__ import annotations

import click

from perfwatch.agent.commands.session_redact import redact


@click.group()
def session() -> None:
    """Work on the files of recordings."""


session.add_command(redact)
