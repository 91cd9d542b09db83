"""MongoDB: `find users`, the command and its collection, the first element of the message's document.

Values stand in later elements. `hello` and SASL are the setting up of the connection. OP_MSG; of compressed messages
nothing is known.
"""

from __future__ import annotations

import struct
from typing import Final

from perfwatch.probes.protocols.turn import Said, Turn

_HEADER: Final = struct.Struct("<IIII")  # length, request, response to, what it is
_MESSAGE, _QUERY, _COMPRESSED = 2013, 2004, 2012
_DOCUMENT_AT: Final = _HEADER.size + 5  # flags, and the kind of the section
_STRING: Final = 2
_OPENS: Final = frozenset({"hello", "isMaster", "ismaster", "saslStart", "saslContinue", "authenticate", "buildInfo"})
_MAX_NAME: Final = 64


def read(said: Said) -> Turn | None:
    """Read one message."""
    if len(said.head) < _HEADER.size:
        return None
    length, _, _, what = _HEADER.unpack_from(said.head)
    if what not in {_MESSAGE, _QUERY, _COMPRESSED} or length < said.size or (length > said.size and not said.known):
        return None
    if what == _QUERY:  # today only the first `isMaster` is sent so
        return Turn("mongodb", phase="opening")
    command, collection = _command(said.head) if what == _MESSAGE else ("", "")
    if not command:
        return Turn("mongodb")
    operation = f"{command} {collection}".rstrip()
    return Turn("mongodb", operation, phase="opening" if command in _OPENS else "asking")


def _command(head: bytes) -> tuple[str, str]:
    """Return the command and the collection; empty where they are not there."""
    if head[_DOCUMENT_AT - 1 : _DOCUMENT_AT] != b"\0":
        return "", ""
    name, ends, rest = head[_DOCUMENT_AT + 5 :].partition(b"\0")
    if not ends or not name.isalnum() or len(name) > _MAX_NAME:
        return "", ""
    if head[_DOCUMENT_AT + 4] != _STRING:
        return name.decode("ascii"), ""
    value, ends, _ = rest[4:].partition(b"\0")
    is_name = ends and len(value) <= _MAX_NAME and value.translate(None, b"._-").isalnum()
    return name.decode("ascii"), value.decode("ascii") if is_name else ""
