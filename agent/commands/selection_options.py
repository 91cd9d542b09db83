"""The options that narrow a recording down: `--endpoint`, `--request`, `--from`, `--to`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import click

from perfwatch.agent import moments
from perfwatch.agent.commands.options import given_as
from perfwatch.agent.selection import Selection
from perfwatch.agent.source import Position

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.agent.model import SessionInfo

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class SelectionChoice:
    """What somebody asked for; the fields are the names of the options."""

    endpoint: str | None
    request: int | None
    begin: str | None
    end: str | None

    @property
    def narrows(self) -> bool:
        """Tell whether only some requests are meant."""
        return any(one is not None for one in (self.endpoint, self.request, self.begin, self.end))

    def selection(self, info: SessionInfo, first_ns: int, last_ns: int) -> Selection:
        """Return which requests are meant of a session that lies between the two; a usage error for what is no time."""
        begin, end = (
            None if text is None else moment(text, option, info, first_ns, last_ns)
            for text, option in ((self.begin, "--from"), (self.end, "--to"))
        )
        if begin is not None and end is not None and begin > end:
            raise click.UsageError("--from is later than --to")
        return Selection(self.endpoint, self.request, begin, end)


def selection_choice(command: Callable[..., _Result]) -> Callable[..., _Result]:
    """Give a command the options of a selection; it gets them as `choice`."""
    return given_as(SelectionChoice, SELECTION_OPTIONS)(command)


def moment(text: str, option: str, info: SessionInfo, first_ns: int, last_ns: int) -> int:
    """Understand a time as the screen does, but that + counts from the start, and times of day are UTC."""
    now_ns = first_ns if text.lstrip().startswith("+") else last_ns
    position = Position("report", now_ns, first_ns, last_ns, paused=True, seekable=True)
    found = moments.parse(text, position, info, is_utc=True)
    if found is None:
        raise click.BadParameter(f"{text!r} is not a time; try {moments.EXAMPLES}", param_hint=option)
    return found


SELECTION_OPTIONS: Final = (
    click.option("--endpoint", metavar="NAME", help='Only requests of "POST /order", or whose endpoint has this part.'),
    click.option("--request", type=int, metavar="ID", help="Only this request; the report lists ids."),
    click.option("--from", "begin", metavar="TIME", help=f"Only requests under way after: {moments.EXAMPLES} (UTC)."),
    click.option("--to", "end", metavar="TIME", help="Only requests under way before; of the same forms."),
)
