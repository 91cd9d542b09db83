"""Options that several commands share."""

from __future__ import annotations

import functools
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

import click
from click.shell_completion import CompletionItem

from perfwatch.agent.choices import DEFAULT_BUDGET, FidelityChoice, chosen, removable
from perfwatch.probes.table import ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Command = TypeVar("_Command", bound="Callable[..., Any]")
_Result = TypeVar("_Result")


class _Pid(click.IntRange):
    """A PID; a shell is told those of the Python processes that one may look into."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """Complete a PID."""
        from perfwatch.agent.target import python_processes  # noqa: PLC0415 - only a shell asks

        found = [(str(one.pid), one.command[:60]) for one in python_processes()]
        return [CompletionItem(pid, help=command) for pid, command in found if pid.startswith(incomplete)]


PID = _Pid(min=1, max=2**22)
FILE = click.Path(path_type=Path)
MAX_TARGETS: Final = 16


def pids(*, required: bool = False) -> Callable[[_Command], _Command]:
    """`--pid`, once or several times: the command is given them as `pids`."""
    return click.option(
        "--pid",
        "pids",
        type=PID,
        multiple=True,
        required=required,
        callback=_few,
        help="The server; its workers are followed. Repeat it to follow requests from one server into another.",
    )


def _few(context: click.Context, parameter: click.Parameter, given: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse more targets than are followed at a time."""
    if len(given) > MAX_TARGETS:
        raise click.BadParameter(f"at most {MAX_TARGETS} processes are followed at a time", context, parameter)
    return given


def slow_ms(command: _Command) -> _Command:
    """`--slow-ms`: what counts as slow."""
    return click.option(
        "--slow-ms",
        type=click.FloatRange(min=0, min_open=True),
        metavar="MS",
        help="What counts as slow. Default: over 3 times its endpoint's median or over 500 ms, and at least 20 ms.",
    )(command)


def output(command: _Command) -> _Command:
    """`-o`, `--overwrite`: where the recording goes."""
    command = click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")(command)
    return click.option("-o", "--output", type=FILE, metavar="FILE", help="Record to this file.")(command)


def made(command: _Command) -> _Command:
    """`-o`, `--overwrite`: the file that comes of others; the command is given `output`."""
    command = click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")(command)
    return click.option("-o", "--output", type=FILE, metavar="OUT", required=True, help="Write this file.")(command)


def given_as(
    kind: Callable[..., object], options: Sequence[Callable[..., Any]]
) -> Callable[[Callable[..., _Result]], Callable[..., _Result]]:
    """Give a command these options; it gets them as `choice`, a value of that kind: its fields have their names."""

    def decorated(command: Callable[..., _Result]) -> Callable[..., _Result]:
        @functools.wraps(command)
        def chosen(*args: Any, **given: Any) -> _Result:
            choice = kind(**{name: given.pop(name) for name in signature(kind).parameters})
            return command(*args, choice=choice, **given)

        for option in reversed(options):
            chosen = option(chosen)
        return chosen

    return decorated


def choices(command: Callable[..., _Result]) -> Callable[..., _Result]:
    """`--fidelity`, `--rate`, `--without`, `--budget`, `--spans`: the command is given them as `choices`, checked."""

    @functools.wraps(command)
    def checked(
        *args: Any,
        fidelity: FidelityChoice,
        rates: tuple[str, ...],
        without: tuple[str, ...],
        budget: float,
        spans: bool,
        **rest: Any,
    ) -> _Result:
        return command(*args, choices=chosen(fidelity, rates, without, budget, spans=spans), **rest)

    for option in reversed(_CHOICES):
        checked = option(checked)
    return checked


def _probes(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Tell a shell the probes that can be left out."""
    return [CompletionItem(name, help=about) for name, about in removable() if name.startswith(incomplete)]


def _rates(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Tell a shell the probes that have a rate, up to the `=`."""
    return [CompletionItem(f"{one.name}=") for one in ENTRIES if one.name.startswith(incomplete)]


_CHOICES: Final = (
    click.option(
        "--fidelity",
        type=click.Choice(get_args(FidelityChoice)),
        default="auto",
        show_default=True,
        help="How requests are followed: exactly (by BPF) or by sampling; auto: as exactly as this machine allows.",
    ),
    click.option(
        "--rate",
        "rates",
        metavar="PROBE=HZ",
        multiple=True,
        shell_complete=_rates,
        help="Readings a second; may be repeated.",
    ),
    click.option(
        "--without",
        metavar="PROBE",
        multiple=True,
        shell_complete=_probes,
        help="Leave a probe out (cleartext: those on OpenSSL); may be repeated.",
    ),
    click.option(
        "--budget",
        type=click.FloatRange(min=0.1, max=100),
        default=DEFAULT_BUDGET * 100,
        show_default=True,
        metavar="PERCENT",
        help="Of one core, for all that the collector does; beyond it, probes are read less often.",
    ),
    click.option(
        "--spans", is_flag=True, help="Listen to the middleware in the server: see perfwatch middleware --help."
    ),
)
