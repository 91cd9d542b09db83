"""The options of telling others while a recording is made: `--prometheus`, `--otlp`, `--service-name`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from perfwatch.agent.commands.otlp_options import otlp_options
from perfwatch.agent.export.audience import Audience
from perfwatch.agent.export.prometheus import address

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.agent.commands.otlp_options import OtlpChoice
    from perfwatch.agent.export.prometheus.address import Address

_Result = TypeVar("_Result")


def audience_options(command: Callable[..., _Result]) -> Callable[..., _Result]:
    """Give a command the options; it gets them as `audience`."""

    @functools.wraps(command)
    def chosen(*args: Any, prometheus: Address | None, otlp: OtlpChoice | None, **given: Any) -> _Result:
        audience = Audience(prometheus, *(otlp or (None, None)))
        return command(*args, audience=audience, **given)

    return _PROMETHEUS(otlp_options(chosen))


def say(line: str) -> None:
    """Tell an event on stderr."""
    click.echo(f"perfwatch: {line}", err=True)


def _address(context: click.Context, parameter: click.Parameter, text: str | None) -> Address | None:
    if text is None:
        return None
    try:
        return address.parse(text)
    except ValueError:
        raise click.BadParameter("not [HOST:]PORT, such as 9464 or [::1]:9464", context, parameter) from None


_PROMETHEUS: Final = click.option(
    "--prometheus",
    metavar="[HOST:]PORT",
    callback=_address,
    help="Serve metrics for Prometheus there; without HOST only to this machine.",
)
