"""The options of telling others while a recording is made: `--prometheus`, `--otlp`, `--service-name`."""

from __future__ import annotations

import functools
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from perfwatch.agent.commands.otlp_options import otlp_options
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.export.prometheus import address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from perfwatch.agent.commands.otlp_options import OtlpChoice
    from perfwatch.agent.export.live import Live, Told
    from perfwatch.agent.export.prometheus.address import Address
    from perfwatch.agent.model import SessionInfo

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class LiveChoice:
    """Who is told."""

    prometheus: Address | None
    otlp: OtlpChoice | None

    @contextmanager
    def opened(self) -> Iterator[Callable[[SessionInfo], Live | None]]:
        """Open what is needed, before anything is measured; gives what follows a session, if anybody is to be told.

        PerfwatchError where an address cannot be used, or a library is not installed.
        """
        with ExitStack() as stack:
            told: list[Told] = []
            if self.prometheus is not None:
                told.append(stack.enter_context(_scraped(self.prometheus)))
            receiver = self.otlp.receiver() if self.otlp is not None else None

            def follow(info: SessionInfo) -> Live | None:
                if receiver is not None and self.otlp is not None:
                    from perfwatch.agent.export.otlp.feed import Feed  # noqa: PLC0415 - an extra

                    told.append(stack.enter_context(Feed(info, receiver, self.otlp.service_name, _say)))
                return _live(info, told)

            yield follow


def live_options(command: Callable[..., _Result]) -> Callable[..., _Result]:
    """Give a command the options; it gets them as `live`."""

    @functools.wraps(command)
    def chosen(*args: Any, prometheus: Address | None, otlp: OtlpChoice | None, **given: Any) -> _Result:
        return command(*args, live=LiveChoice(prometheus, otlp), **given)

    return _PROMETHEUS(otlp_options(chosen))


def _live(info: SessionInfo, told: list[Told]) -> Live | None:
    if not told:
        return None
    from perfwatch.agent.export.live import Live  # noqa: PLC0415 - few need it

    return Live(info, told)


@contextmanager
def _scraped(where: Address) -> Iterator[Told]:
    try:
        from perfwatch.agent.export.prometheus.scraped import scraped  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        problem = f"--prometheus needs {error.name}, which is not installed"
        raise PerfwatchError(problem, "pip install 'perfwatch[prometheus]'") from None
    with scraped(where) as (told, bound):
        _say(f"metrics at {bound.url}" + ("" if bound.is_loopback else ", for everybody who can reach it"))
        yield told


def _say(line: str) -> None:
    click.echo(f"perfwatch: {line}", err=True)


def _address(context: click.Context, parameter: click.Parameter, text: str | None) -> Address | None:
    if text is None:
        return None
    try:
        return address.parse(text)
    except ValueError:
        raise click.BadParameter("not [HOST:]PORT, such as 9464 or [::1]:9464", context, parameter) from None


_PROMETHEUS = click.option(
    "--prometheus",
    metavar="[HOST:]PORT",
    callback=_address,
    help="Serve metrics for Prometheus there; without HOST only to this machine.",
)
