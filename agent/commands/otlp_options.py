"""The options of sending to an OTLP receiver: `--otlp`, `--service-name`; its headers come from the environment."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import unquote

import click

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.agent.export.exported import Exported
    from perfwatch.agent.export.otlp.sending import Receiver

_Result = TypeVar("_Result")
HEADERS: Final = "OTEL_EXPORTER_OTLP_HEADERS"


@dataclass(frozen=True, slots=True)
class OtlpChoice:
    """Where to send to."""

    url: str
    service_name: str | None

    def receiver(self) -> Receiver:
        """Return the receiver; PerfwatchError for what is no address, or where a library is not installed."""
        try:
            from perfwatch.agent.export.otlp.sending import Receiver  # noqa: PLC0415 - an extra
        except ModuleNotFoundError as error:
            problem = f"--otlp needs {error.name}, which is not installed"
            raise PerfwatchError(problem, "pip install 'perfwatch[otlp]'") from None
        return Receiver(self.url, headers_of(os.environ.get(HEADERS, "")))

    def send(self, exported: Exported) -> None:
        """Send a recording, and say what became of it."""
        receiver = self.receiver()
        from perfwatch.agent.export.otlp.recording import send  # noqa: PLC0415 - as above

        sent = send(exported, receiver, Selection(), self.service_name)
        click.echo(f"sent {sent.spans} spans to {self.url}", err=True)
        if sent.rejected or sent.reason:
            raise PerfwatchError(f"{self.url} turned down {sent.rejected} of {sent.spans} spans: {sent.reason}")


def headers_of(text: str) -> dict[str, str]:
    """Read `name=value,name=value`, values escaped as in a URL, as OpenTelemetry's own exporters do."""
    headers = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        name, is_pair, value = pair.partition("=")
        name, value = name.strip(), unquote(value.strip())
        if not is_pair or not name or not _is_field(name) or not value.isprintable():
            raise PerfwatchError(f"{HEADERS} is no list of headers", f"{HEADERS}=api-key=SECRET,tenant=shop")
        headers[name] = value
    return headers


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


def _is_field(name: str) -> bool:
    return name.isascii() and all(char.isalnum() or char in "!#$%&'*+-.^_`|~" for char in name)


_OPTIONS: Final = (
    click.option(
        "--otlp",
        "url",
        metavar="URL",
        help=f"Send traces and metrics to this OpenTelemetry receiver (HTTP); headers come from ${HEADERS}.",
    ),
    click.option("--service-name", metavar="NAME", help="What the server is called there; default: what runs it."),
)
