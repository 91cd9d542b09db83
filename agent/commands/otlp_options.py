"""The options of sending to an OTLP receiver: `--otlp`, `--service-name`; its headers come from the environment."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.export.receivers import HEADERS, receiver_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.agent.export.exported import Exported

_Result = TypeVar("_Result")


class OtlpChoice(NamedTuple):
    """Where to send to."""

    url: str
    service_name: str | None

    def send(self, exported: Exported) -> None:
        """Send a recording, and say what became of it."""
        receiver = receiver_at(self.url)
        from perfwatch.agent.export.otlp.recording import send  # noqa: PLC0415 - an extra

        sent = send(exported, receiver, self.service_name)
        click.echo(f"sent {sent.spans} spans to {self.url}", err=True)
        if sent.is_refused:
            what = f"{sent.rejected} of {sent.spans} spans" if sent.rejected else "metrics"
            raise PerfwatchError(f"{self.url} turned down {what}: {sent.reason}")


def otlp_options(command: Callable[..., _Result]) -> Callable[..., _Result]:
    """Give a command the options; it gets them as `otlp`, None where nothing is to be sent."""

    @functools.wraps(command)
    def chosen(*args: Any, url: str | None, service_name: str | None, **given: Any) -> _Result:
        if url is None and service_name is not None:
            raise click.UsageError("--service-name is for --otlp")
        return command(*args, otlp=OtlpChoice(url, service_name) if url is not None else None, **given)

    for option in reversed(_OPTIONS):
        chosen = option(chosen)
    return chosen


_OPTIONS: Final = (
    click.option(
        "--otlp",
        "url",
        metavar="URL",
        help=f"Send traces and metrics to this OpenTelemetry receiver (HTTP); headers come from ${HEADERS}.",
    ),
    click.option("--service-name", metavar="NAME", help="What the server is called there; default: what runs it."),
)
