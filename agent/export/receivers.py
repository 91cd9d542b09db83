"""An OTLP receiver by its address, with the headers that the environment has for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.export.extras import needing

if TYPE_CHECKING:
    from perfwatch.agent.export.otlp.sending import Receiver

HEADERS: Final = "OTEL_EXPORTER_OTLP_HEADERS"


def receiver_at(url: str) -> Receiver:
    """Return the receiver; PerfwatchError for what is no address, or where a library is not installed."""
    with needing("otlp", "--otlp"):
        from perfwatch.agent.export.otlp.sending import Receiver  # noqa: PLC0415 - an extra
    return Receiver(url, headers_of(os.environ.get(HEADERS, "")))


def headers_of(text: str) -> dict[str, str]:
    """Read `name=value,name=value`, values escaped as in a URL, as OpenTelemetry's own exporters do."""
    headers = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        name, is_pair, value = pair.partition("=")
        name, value = name.strip(), unquote(value.strip())
        if not is_pair or not name or not _is_field(name) or not (value.isascii() and value.isprintable()):
            raise PerfwatchError(f"{HEADERS} is no list of headers", f"{HEADERS}=api-key=SECRET,tenant=shop")
        headers[name] = value
    return headers


def _is_field(name: str) -> bool:
    return name.isascii() and all(char.isalnum() or char in "!#$%&'*+-.^_`|~" for char in name)
