"""The options of `perfwatch record --service`: which servers, where to, and how much of it stays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from perfwatch.agent.commands.options import given_as
from perfwatch.agent.service import amounts

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.agent.choices import Choices
    from perfwatch.agent.export.audience import Audience
    from perfwatch.agent.service.settings import Settings

_Result = TypeVar("_Result")
SYSTEM_DIRECTORY: Final = Path("/var/lib/perfwatch")


class ServiceChoice(NamedTuple):
    """What somebody asked for; the fields are the names of the options."""

    service: bool
    wanted: tuple[str, ...]
    directory: Path | None
    segment_time: float | None
    segment_size: int | None
    retain: float | None
    max_size: int | None
    flight: float | None
    keep_on: tuple[str, ...]

    def refuse_alone(self) -> None:
        """Raise a usage error where one of them was given without --service."""
        given = [name for name, value in self._asdict().items() if name != "service" and value not in {None, ()}]
        if given and not self.service:
            raise click.UsageError(f"{_OPTION_OF[given[0]]} goes with --service")

    def settings(self, slow_ms: float | None, choices: Choices, audience: Audience) -> Settings:
        """Put them together; raises PerfwatchError for what is not understood, or cannot work."""
        from perfwatch.agent.service.settings import settled  # noqa: PLC0415 - only the service needs it
        from perfwatch.agent.service.wanted import parse  # noqa: PLC0415 - as above

        return settled(
            str((self.directory or default_directory()).absolute()),
            tuple(parse(text) for text in self.wanted),
            segment_s=self.segment_time,
            segment_bytes=self.segment_size,
            retain_s=self.retain,
            total_bytes=self.max_size,
            flight_s=self.flight,
            keep_on=self.keep_on,
            slow_ms=slow_ms,
            choices=choices,
            audience=audience,
        )


def service_choice(command: Callable[..., _Result]) -> Callable[..., _Result]:
    """Give a command the options of the service; it gets them as `choice`."""
    return given_as(ServiceChoice, _OPTIONS)(command)


def default_directory() -> Path:
    """Return systemd's StateDirectory, root's of the system, or the user's own."""
    told = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if told:
        return Path(told)
    if os.geteuid() == 0:
        return SYSTEM_DIRECTORY
    import platformdirs  # noqa: PLC0415 - no other command of these needs it

    return Path(platformdirs.user_state_dir("perfwatch")) / "service"


class _Amount(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # newer versions of click are generic
    def __init__(self, name: str, parse: Callable[[str], float | None], examples: str) -> None:
        self.name, self._parse, self._examples = name, parse, examples

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = self._parse(value)
        if not found:
            self.fail(f"{value!r} is none; for example: {self._examples}", param, ctx)
        return found


_TIME: Final = _Amount("time", amounts.seconds, amounts.TIMES)
_SIZE: Final = _Amount("size", amounts.size_bytes, amounts.SIZES)
_OPTIONS: Final = (
    click.option(
        "--service", is_flag=True, help="Record servers as they come and go, into a directory; until stopped."
    ),
    click.option(
        "--target",
        "wanted",
        metavar="TERMS",
        multiple=True,
        help="Which: terms that all hold, such as 'name:gunicorn port:8000' (also command:, cgroup:, container:, pid:; "
        "with * and ?). Repeat it for others. Default: every Python server that listens.",
    ),
    click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Where to. As root: /var/lib/perfwatch.",
    ),
    click.option("--segment-time", type=_TIME, metavar="TIME", help="A new file after so long. Default: 1h."),
    click.option(
        "--segment-size", type=_SIZE, metavar="SIZE", help="... or when it has this size. Default: 1/16 of all."
    ),
    click.option("--retain", type=_TIME, metavar="TIME", help="Remove files that ended longer ago, such as 7d."),
    click.option("--max-size", type=_SIZE, metavar="SIZE", help="Of all files at any moment. Default: 2GB."),
    click.option(
        "--flight", type=_TIME, metavar="TIME", help="A flight recorder: retain so much, and keep what --keep-on says."
    ),
    click.option(
        "--keep-on",
        multiple=True,
        metavar="WHAT",
        help="Keep the file for good in which this happens: slow (the default of --flight), error, 500ms (a latency), "
        "a principle or mechanism; may be repeated. So does SIGUSR1.",
    ),
)
_OPTION_OF: Final = {"wanted": "--target", "directory": "--dir"} | {
    name: f"--{name.replace('_', '-')}" for name in ServiceChoice._fields if name not in {"wanted", "directory"}
}
