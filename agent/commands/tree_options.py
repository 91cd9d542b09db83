"""The options of `perfwatch report` for call trees: which requests, which times, in which form."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

import click

from perfwatch.agent import moments
from perfwatch.agent.selection import Selection
from perfwatch.agent.source import Position

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.agent.model import SessionInfo, View

_Result = TypeVar("_Result")


class TreeChoice(NamedTuple):
    """What somebody asked for; the fields are the names of the options."""

    tree: bool
    form: Literal["text", "json", "speedscope"]
    endpoint: str | None
    request: int | None
    begin: str | None
    end: str | None

    @property
    def narrows(self) -> bool:
        """Tell whether only some requests are meant."""
        return any(one is not None for one in (self.endpoint, self.request, self.begin, self.end))

    def selection(self, info: SessionInfo, view: View) -> Selection:
        """Return which requests are meant; a usage error for what is no time."""
        begin, end = _moment(self.begin, "--from", info, view), _moment(self.end, "--to", info, view)
        if begin is not None and end is not None and begin > end:
            raise click.UsageError("--from is later than --to")
        return Selection(self.endpoint, self.request, begin, end)


def tree_choice(command: Callable[..., _Result]) -> Callable[..., _Result]:
    """Give a command the options of call trees; it gets them as `choice`."""

    @functools.wraps(command)
    def chosen(*args: Any, **given: Any) -> _Result:
        choice = TreeChoice(**{name: given.pop(name) for name in TreeChoice._fields})
        return command(*args, choice=choice, **given)

    for option in reversed(_OPTIONS):
        chosen = option(chosen)
    return chosen


def wants_color() -> bool:
    """Tell whether text may be coloured: on a terminal that can, unless NO_COLOR is set (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _moment(text: str | None, option: str, info: SessionInfo, view: View) -> int | None:
    """Understand a time as the screen does, but that + counts from the start, and times of day are UTC."""
    if text is None:
        return None
    now_ns = view.first_ns if text.lstrip().startswith("+") else view.now_ns
    position = Position("report", now_ns, view.first_ns, view.now_ns, paused=True, seekable=True)
    found = moments.parse(text, position, info, is_utc=True)
    if found is None:
        raise click.BadParameter(f"{text!r} is not a time; try {moments.EXAMPLES}", param_hint=option)
    return found


_OPTIONS: Final = (
    click.option("--tree", is_flag=True, help="Print the call tree of the judged requests instead: time by code."),
    click.option(
        "--as",
        "form",
        type=click.Choice(["text", "json", "speedscope"]),
        default="text",
        show_default=True,
        help="How --tree prints it; json and speedscope are pyinstrument's.",
    ),
    click.option("--endpoint", metavar="NAME", help='Only requests of "POST /order", or whose endpoint has this part.'),
    click.option("--request", type=int, metavar="ID", help="Only this request; the report lists ids."),
    click.option("--from", "begin", metavar="TIME", help=f"Only requests under way after: {moments.EXAMPLES} (UTC)."),
    click.option("--to", "end", metavar="TIME", help="Only requests under way before; of the same forms."),
)
