"""What a command says on stderr when it could not attach with all that it wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from perfwatch.probes.table import LEDGER, SPANS

if TYPE_CHECKING:
    from perfwatch.agent.model import SessionInfo


def tell_lacks(info: SessionInfo) -> None:
    """Say that requests are sampled, and why; and name the probes that do not run. `perfwatch doctor` says the rest."""
    if info.fidelity == "sampled":
        why = next((each.reason for each in info.probes if each.name == LEDGER.name), None)
        click.echo(f"sampled fidelity, without the exact ledger: {why}", err=True)
    lacking = [each for each in info.probes if each.status == "unavailable"]
    for each in lacking:
        if each.name == SPANS.name:  # somebody asked for them, and doctor does not
            click.echo(f"no spans: {each.reason}" + (f" ({each.remedy})" if each.remedy else ""), err=True)
    missing = [each.name for each in lacking if each.name not in (LEDGER.name, SPANS.name)]
    if missing:
        click.echo(f"not measured here: {', '.join(missing)} (perfwatch doctor says why)", err=True)
