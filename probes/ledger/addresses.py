"""A socket's address, as the kernel's events have it."""

from __future__ import annotations

import ipaddress
import socket
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

ADDRESS: Final = "HHI16s"
"""`struct address` of layout.bpf.h."""
ENDS: Final = struct.Struct(f"={ADDRESS}{ADDRESS}")
"""Both of a connection."""


class Address(msgspec.Struct, frozen=True, gc=False):
    """A socket's address as the kernel has it."""

    family: int
    port: int
    data: bytes

    @property
    def known(self) -> bool:
        """Whether there is one at all."""
        return self.family != 0

    def text(self, unix_name: Callable[[bytes], str | None]) -> str:
        """Return `10.0.0.5:5432`, `[::1]:53` or `unix:/path`; `unix_name` resolves the kernel's name object."""
        if self.family == socket.AF_UNIX:
            return f"unix:{unix_name(self.data[:8]) or '?'}"
        return _inet_text(self)


@lru_cache(maxsize=4096)
def parse_ends(data: bytes) -> tuple[Address, Address]:
    """Read both addresses of a connection: these bytes and no more, for they come again and again."""
    a = ENDS.unpack(data)
    return Address(a[0], a[1], a[3]), Address(a[4], a[5], a[7])


@lru_cache(maxsize=4096)
def _inet_text(address: Address) -> str:
    if address.family == socket.AF_INET:
        return f"{ipaddress.IPv4Address(address.data[:4])}:{address.port}"
    host = ipaddress.IPv6Address(address.data)
    return f"{host.ipv4_mapped}:{address.port}" if host.ipv4_mapped else f"[{host}]:{address.port}"
