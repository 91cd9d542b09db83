"""Where to listen: `9464`, `127.0.0.1:9464`, `[::1]:9464`; without a host only this machine can ask."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final, NamedTuple

from perfwatch.agent.errors import PerfwatchError

LOOPBACK: Final = "127.0.0.1"
BACKLOG: Final = 64
_MOST_PORT: Final = 65_535


class Address(NamedTuple):
    """A host by number or name, and a port; 0 is any that is free."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def url(self) -> str:
        """The address of the metrics."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/metrics"

    @property
    def notice(self) -> str:
        """What is said when it is listened there."""
        return f"metrics at {self.url}" + ("" if self.is_loopback else ", for everybody who can reach it")


def parse(text: str) -> Address:
    """Read an address; ValueError where it is none."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal()) or int(port) > _MOST_PORT:
        raise ValueError(text)
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if (":" in host) != text.startswith("["):
        raise ValueError(text)
    return Address(host or LOOPBACK, int(port))


def listen(address: Address) -> tuple[socket.socket, Address]:
    """Return a socket that listens there, and where that is; PerfwatchError where it cannot."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, place = found[0]
        listener = socket.create_server(place[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise PerfwatchError(
            f"cannot listen on {address.host} port {address.port}: {error.strerror}", "choose another port"
        ) from None
    return listener, Address(address.host, listener.getsockname()[1])
