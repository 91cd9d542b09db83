"""The recording that a command reads, and how much of it may be told: FILE, `--redact`, `--keep`."""

from __future__ import annotations

import functools
from pathlib import Path  # noqa: TC003 - click reads it
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from perfwatch.agent.commands import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.agent.session.reader import SessionReader

_Result = TypeVar("_Result")
_Given = TypeVar("_Given", bound="Callable[..., Any]")


class Recording(NamedTuple):
    """Which one, and what was asked for."""

    file: Path
    redact: bool
    keep: tuple[str, ...]

    def opened(self) -> SessionReader:
        """Open it accordingly; raises PerfwatchError if it is none."""
        from perfwatch.agent.redact.reading import open_reader  # noqa: PLC0415 - few redact

        return open_reader(self.file, redact=self.redact, keep=self.keep)


def keep(command: _Given) -> _Given:
    """`--keep`: the command is given it as `keep`."""
    return click.option(
        "--keep",
        metavar="WORD",
        multiple=True,
        help="A word of paths that is no secret, such as the name of a resource; may be repeated.",
    )(command)


def recording(command: Callable[..., _Result]) -> Callable[..., _Result]:
    """FILE, `--redact` and `--keep`: the command is given them as `recording`."""

    @functools.wraps(command)
    def told(file: Path, *, redact: bool, keep: tuple[str, ...], **rest: Any) -> _Result:
        if keep and not redact:
            raise click.UsageError("--keep says what --redact leaves: give both")
        return command(Recording(file, redact, keep), **rest)

    return _FILE(_REDACT(keep(told)))


_FILE: Final = click.argument("file", type=options.FILE)
_REDACT: Final = click.option(
    "--redact", is_flag=True, help="Leave out what names people, machines and data: docs/sharing.md."
)
