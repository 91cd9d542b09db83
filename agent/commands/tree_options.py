"""The options of `perfwatch report` for call trees: which requests, which times, in which form."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import click

from perfwatch.agent.commands.options import given_as
from perfwatch.agent.commands.selection_options import SELECTION_OPTIONS, SelectionChoice

if TYPE_CHECKING:
    from collections.abc import Callable

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class TreeChoice(SelectionChoice):
    """What somebody asked for; the fields are the names of the options."""

    tree: bool
    form: Literal["text", "json"]


def tree_choice(command: Callable[..., _Result]) -> Callable[..., _Result]:
    """Give a command the options of call trees; it gets them as `choice`."""
    return given_as(TreeChoice, (*_OPTIONS, *SELECTION_OPTIONS))(command)


def wants_color() -> bool:
    """Tell whether text may be coloured: on a terminal that can, unless NO_COLOR is set (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


_OPTIONS: Final = (
    click.option("--tree", is_flag=True, help="Print the call tree of the judged requests instead: time by code."),
    click.option(
        "--as",
        "form",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How --tree prints it; json is pyinstrument's. Other formats: perfwatch export.",
    ),
)
