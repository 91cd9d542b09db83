"""`perfwatch completion`: what a shell reads to complete perfwatch's commands, options and values."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

PROGRAM: Final = "perfwatch"
VARIABLE: Final = "_PERFWATCH_COMPLETE"
"""Click's own: with it set, perfwatch answers the shell instead of running."""
SHELLS: Final = ("bash", "zsh", "fish")


@click.command(
    epilog="""\b
Examples:
  eval "$(perfwatch completion bash)"       in ~/.bashrc
  eval "$(perfwatch completion zsh)"        in ~/.zshrc, after compinit
  perfwatch completion fish > ~/.config/fish/completions/perfwatch.fish
"""
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(*, shell: str) -> None:
    """Print what makes a shell complete commands, options, values, and the PIDs of Python processes."""
    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    if kind is None:
        raise AssertionError(shell)
    click.echo(kind(root, {}, PROGRAM, VARIABLE).source(), nl=False)
