"""TLS: only its records are seen, and what passes inside is not known.

A handshake is over for the client when it has sent its Finished: in TLS 1.3 that looks like application data, behind a
ChangeCipherSpec of old times' sake, or, where that is left out, is told by its length (its hash and a tag). In TLS 1.2
the server has the last word, or, when a session is resumed, the client. RFC 8446, 5246.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from perfwatch.probes.protocols.turn import Said, Turn

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGE_CIPHER, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
TICKET_BYTES: Final = range(60, 600)
"""Of one session ticket; OpenSSL's have about 250."""
_RECORD: Final = struct.Struct(">BBBH")
HEADER_BYTES: Final = _RECORD.size
_VERSIONS: Final = {(3, minor) for minor in range(5)}  # SSL 3.0 to TLS 1.3
_MAX_RECORD: Final = (1 << 14) + 2048
_CLIENT_HELLO: Final = 1
_ALERT_BYTES: Final = 19
"""Of an alert that TLS 1.3 disguises as application data: two bytes, what they are, and a tag."""
_IN_THE_CLEAR: Final = 0x80
"""The kernel adds it to the type of a record whose content it gives as it was before it was encrypted."""
_FINISHED_BYTES: Final = frozenset({53, 69})  # SHA-256, SHA-384


class Fragment(NamedTuple):
    """One record: what kind of, the bytes in it, and the first one, where that is there."""

    kind: int
    length: int
    first: int | None


def read(said: Said) -> Turn | None:
    """Read records, and where in the handshake the client is."""
    records = list(fragments(said.head))
    if not records:
        return None
    if is_hello(records):
        said.memory.handshake = "begun"
        return Turn("tls", phase="opening")
    if not said.known and not _is_whole(records[0], said):
        return None
    return Turn("tls", phase=_phase(records, said))


def uncovered(head: bytes) -> tuple[bytes, bytes | None]:
    """Return the head with its first record's header as it was sent, and what that record says, where that is known."""
    if len(head) < HEADER_BYTES or head[0] != DATA | _IN_THE_CLEAR:
        return head, None
    return bytes((DATA,)) + head[1:], head[HEADER_BYTES:]


def fragments(data: bytes) -> Iterator[Fragment]:
    """Yield the records that begin in these bytes, as far as they are records."""
    at = 0
    while at + _RECORD.size <= len(data):
        kind, major, minor, length = _RECORD.unpack_from(data, at)
        if not CHANGE_CIPHER <= kind <= DATA or (major, minor) not in _VERSIONS or not 0 < length <= _MAX_RECORD:
            return
        at += _RECORD.size
        yield Fragment(kind, length, data[at] if at < len(data) else None)
        at += length


def is_hello(records: list[Fragment]) -> bool:
    """Whether a client begins a handshake."""
    return bool(records) and records[0].kind == HANDSHAKE and records[0].first == _CLIENT_HELLO


def ticket_length(head: bytes) -> int | None:
    """Return the length of the first record if that may be a session ticket."""
    first = next(fragments(head), None)
    return first.length if first and first.kind == DATA and first.length in TICKET_BYTES else None


def _is_whole(record: Fragment, said: Said) -> bool:
    return said.cut or record.length + _RECORD.size <= said.size


def _phase(records: list[Fragment], said: Said) -> Literal["asking", "opening", "chatter"]:
    asks, shakes_hands = False, False
    for record in records:
        is_last_word = record.length in _FINISHED_BYTES and said.memory.handshake == "begun"
        is_alert = record.kind == ALERT or (record.kind == DATA and record.length == _ALERT_BYTES)
        asks |= record.kind == DATA and not is_last_word and not is_alert
        shakes_hands |= not is_alert
        if record.kind == HANDSHAKE:  # a client's second word in the clear is one of TLS 1.2
            said.memory.handshake = "said"
        elif record.kind == DATA:
            said.memory.handshake = "over"
    if asks:
        return "asking"
    return "opening" if shakes_hands else "chatter"
