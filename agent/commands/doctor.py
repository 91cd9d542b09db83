"""`perfwatch doctor`: what can be measured here, what is missing, how to get it."""

from __future__ import annotations

import click
import msgspec

from perfwatch.agent.doctor import Check, Diagnosis, diagnose

_MARKS = {"ok": "ok       ", "untested": "untested ", "missing": "missing  "}


@click.command(
    epilog="""\b
Examples:
  perfwatch doctor
  sudo perfwatch doctor --json
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def doctor(as_json: bool) -> None:  # noqa: FBT001
    """Say what perfwatch can measure on this machine, what is missing, and the command that would help."""
    found = diagnose()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    click.echo("\n".join(_lines(found)))


def _lines(found: Diagnosis) -> list[str]:
    lines = [line for check in found.checks for line in _check_lines(check)]
    lines.append("")
    if found.fidelity == "exact":
        lines.append("perfwatch can attach here, with the exact ledger.")
    else:
        lines.append("perfwatch cannot attach here; recordings can be reported and replayed.")
    return lines


def _check_lines(check: Check) -> list[str]:
    lines = [f"{_MARKS[check.status]} {check.name:<15} {check.found}"]
    if check.lost:
        lines.append(f"{'':26}lost: {check.lost}")
    if check.remedy:
        lines.append(f"{'':26}help: {check.remedy}")
    return lines
