"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

_Command = TypeVar("_Command", bound="Callable[..., Any]")

PID = click.IntRange(min=1, max=2**22)
FILE = click.Path(path_type=Path)


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
