"""The clear part of TLS: record headers, ClientHello and ServerHello, within strict bounds; pure.

scapy's own TLS layers are not used: without the package `cryptography`, which perfwatch needs for nothing else, they
cannot be imported.

    16 03 03 00 5a | 02 00 00 56 03 03 <random> 20 <session id> 13 02 00 00 2e 00 2b 00 02 03 04 ...

Source: RFC 8446 (TLS 1.3), RFC 5246 (1.2).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
ENCRYPTED_ALERT_BYTES: Final = 19
"""Of a TLS 1.3 record that disguises an alert: 2 + 1 + 16."""

_MAJOR: Final = 3
_MAX_RECORD_BYTES: Final = (1 << 14) + 2048
_MAX_RECORDS: Final = 32
_MAX_SESSION_ID: Final = 32
_CLIENT_HELLO, _SERVER_HELLO = 1, 2
_PRE_SHARED_KEY, _SUPPORTED_VERSIONS = 41, 43
_RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The `random` of a HelloRetryRequest, which is a ServerHello otherwise."""

_RECORD: Final = struct.Struct("!BBBH")  # content type, version, length
_HELLO: Final = struct.Struct("!BBHH32sB")  # type, length (24 bits), version, random, length of the session id
_AFTER_ID: Final = struct.Struct("!HBH")  # cipher suite, compression, length of the extensions
_EXTENSION: Final = struct.Struct("!HH")  # type, length
_VERSIONS: Final = {0x0300: "SSLv3", 0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}


class TlsRecord(NamedTuple):
    """One record, as far as it was captured."""

    type: int
    length: int
    content: bytes


class Hello(NamedTuple):
    """A ClientHello, a ServerHello, or a ServerHello that asks for another ClientHello."""

    kind: Literal["client", "server", "retry"]
    session_id: bytes
    version: str | None
    """That the server chose; None in a ClientHello, and where it was cut off."""
    uses_key: bool | None
    """The server took the pre-shared key that the client offered: a TLS 1.3 session is resumed. None if unknown."""


def parse_records(payload: bytes) -> Iterator[TlsRecord]:
    """Yield the records at the begin of a segment, as long as they look like TLS."""
    start = 0
    for _ in range(_MAX_RECORDS):
        if len(payload) - start < _RECORD.size:
            return
        type_, major, _, length = _RECORD.unpack_from(payload, start)
        if not CHANGE_CIPHER_SPEC <= type_ <= DATA or major != _MAJOR or length > _MAX_RECORD_BYTES:
            return
        start += _RECORD.size
        yield TlsRecord(type_, length, payload[start : start + length])
        start += length


def parse_hello(content: bytes) -> Hello | None:
    """Read the begin of a handshake record; None if it is no hello (or is cut within the session id)."""
    if len(content) < _HELLO.size:
        return None
    type_, _, _, version, random, id_length = _HELLO.unpack_from(content)
    session_id = content[_HELLO.size : _HELLO.size + id_length]
    if id_length > _MAX_SESSION_ID or len(session_id) < id_length or version >> 8 != _MAJOR:
        return None
    if type_ == _CLIENT_HELLO:
        return Hello("client", session_id, None, None)
    if type_ != _SERVER_HELLO:
        return None
    found, is_whole = _extensions(content, _HELLO.size + id_length)
    chosen = found.get(_SUPPORTED_VERSIONS, b"")
    if chosen or is_whole:
        number = int.from_bytes(chosen[:2], "big") if len(chosen) >= 2 else version  # noqa: PLR2004 - of 16 bits
        name = _VERSIONS.get(number, f"0x{number:04x}")
    else:
        name = None
    uses_key = True if _PRE_SHARED_KEY in found else False if is_whole else None
    return Hello("retry" if random == _RETRY else "server", session_id, name, uses_key)


def _extensions(content: bytes, start: int) -> tuple[dict[int, bytes], bool]:
    """Return the extensions of a ServerHello by type, and whether these are all."""
    if len(content) < start + _AFTER_ID.size:
        return {}, len(content) == start + 3  # TLS 1.2 and before: there need be none
    total = _AFTER_ID.unpack_from(content, start)[2]
    start += _AFTER_ID.size
    end, is_whole = min(start + total, len(content)), len(content) >= start + total
    found: dict[int, bytes] = {}
    while start + _EXTENSION.size <= end:
        type_, length = _EXTENSION.unpack_from(content, start)
        start += _EXTENSION.size + length
        if start > end:
            break
        found[type_] = content[start - length : start]
    return found, is_whole
