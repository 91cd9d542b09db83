"""The command line: which command, which exit code. What a command does stands in `commands/`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

import click

from perfwatch.agent.errors import PerfwatchError

COMMANDS: Final = {
    "attach": "attach:attach",
    "record": "record:record",
    "report": "report:report",
    "replay": "replay:replay",
    "session": "session:session",
    "compare": "compare:compare",
    "export": "export:export",
    "run": "run:run",
    "stacks": "stacks:stacks",
    "doctor": "doctor:doctor",
    "demo": "demo:demo",
    "middleware": "middleware:middleware",
}
_FIRST_OPTIONS: Final = ("--help", "-h", "--version")


class Commands(click.Group):
    """Loads a command's module when it is used; what is no command (a PID, an option) goes to `attach`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name the commands, in the order of --help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = getattr(import_module(f"perfwatch.agent.commands.{module}"), name)
        if not isinstance(command, click.Command):
            raise TypeError(place)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `attach` before arguments that name no command."""
        first = args[0] if args else ""
        is_attach = first.isdecimal() or (first.startswith("-") and first not in _FIRST_OPTIONS)
        return super().parse_args(ctx, ["attach", *args] if not args or is_attach else args)


@click.command(
    cls=Commands,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  perfwatch                      choose among the running Python processes
  perfwatch 4312                 watch a server, and its workers
  perfwatch record --pid 4312 --duration 60 -o slow.perfwatch
  perfwatch report slow.perfwatch
  perfwatch stacks 4312          what each thread executes right now
  perfwatch doctor               what can be measured here
""",
)
@click.version_option(package_name="perfwatch", prog_name="perfwatch")
def cli() -> None:
    """See for every slow request of a running Python server where its time went, and why.

    Without a command: open the terminal interface on a PID, or choose a process.
    """


def main() -> None:
    """Run the command line; the only place where a failure becomes one line and an exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as usage:
        usage.show()
        code = usage.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has had enough
        code = 0
    except PerfwatchError as error:
        click.echo(f"perfwatch: {error}", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
