"""Addresses as attributes: `10.0.0.5:5432`, `[::1]:53`, `unix:/run/x.sock`, as the records have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from perfwatch.agent.export.otlp.values import Value

_UNIX: Final = "unix:"
_MOST_PORT: Final = 65_535


class Place(NamedTuple):
    """One end of a connection."""

    address: str
    """Without brackets; of a socket in the file system its path."""
    port: int | None

    @property
    def transport(self) -> str:
        """As `network.transport` names it."""
        return "unix" if self.port is None else "tcp"


def place_of(address: str) -> Place | None:
    """Read an address; None where it is empty, or names nobody."""
    if address.startswith(_UNIX):
        path = address.removeprefix(_UNIX)
        return Place(path, None) if path not in {"", "?"} else None
    host, _, port = address.rpartition(":")
    is_port = port.isascii() and port.isdecimal() and len(port) <= len(str(_MOST_PORT)) and int(port) <= _MOST_PORT
    if not host or not is_port:
        return Place(address, None) if address else None
    return Place(host.removeprefix("[").removesuffix("]"), int(port))


def server(address: str) -> dict[str, Value | None]:
    """Say who served, by the listening address, or whom a call went to."""
    place = place_of(address)
    return {} if place is None else {"server.address": place.address, "server.port": place.port}


def peer(address: str) -> dict[str, Value | None]:
    """Say who is at the other end of the connection: of a request behind a proxy that is the proxy."""
    place = place_of(address)
    if place is None:
        return {}
    return {
        "network.peer.address": place.address,
        "network.peer.port": place.port,
        "network.transport": place.transport,
    }
