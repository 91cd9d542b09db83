"""MySQL and MariaDB: the text of a query or of what is prepared; that has a number, which the answer gives.

The server speaks first. Its greeting and the login are the setting up of the connection: there the packets are numbered
on, and each command begins at 0 again.
"""

from __future__ import annotations

import struct
from typing import Final

from msgspec.structs import replace

from perfwatch.probes.protocols.sql import without_literals
from perfwatch.probes.protocols.turn import Said, Turn

_HEADER: Final = struct.Struct("<HBBB")  # length (lower 16 bits, upper 8), number, command
_HEADER_BYTES: Final = 4
_QUIT, _QUERY, _PREPARE, _EXECUTE, _CLOSE = 1, 3, 22, 23, 25
_PREPARED: Final = struct.Struct("<4xBI")
_NAMES: Final = {
    2: "USE ?", 9: "STATISTICS", 14: "PING", 17: "CHANGE USER", 18: "BINLOG DUMP", 24: "SEND LONG DATA",
    26: "RESET STATEMENT", 27: "SET OPTION", 28: "FETCH", 31: "RESET CONNECTION",
}  # fmt: skip
_ATTRIBUTES: Final = b"\0\1"  # none of them, in one set: what a client of 8.0.23 and later may send before the text


def read(said: Said) -> Turn | None:
    """Read one command, or a word of the login."""
    if len(said.head) < _HEADER.size:
        return None
    lower, upper, number, command = _HEADER.unpack_from(said.head)
    end = (upper << 16 | lower) + _HEADER_BYTES
    if number:
        return Turn("mysql", phase="opening") if said.known and end == said.size else None
    said.memory.preparing = None
    if command in {_QUERY, _PREPARE}:
        return _query(said, command, fills=end == said.size)
    return _command(said, command, end) if said.known and _HEADER_BYTES < end <= said.size else None


def _command(said: Said, command: int, end: int) -> Turn | None:
    if command == _EXECUTE:
        return Turn("mysql", said.memory.recall(said.head[5:9].hex()))
    if command not in {_QUIT, _CLOSE}:
        return Turn("mysql", _NAMES.get(command))
    if end == said.size:
        return Turn("mysql", phase="chatter")
    return read(replace(said, head=said.head[end:], size=said.size - end))  # what follows at once


def is_greeting(head: bytes) -> bool:
    """Whether a server opens the conversation: number 0, protocol 10, its version in writing."""
    version = head[5:].partition(b"\0")[0]
    return len(head) > _HEADER.size and head[3:5] == b"\0\n" and version[:1].isdigit() and version.isascii()


def learn(said: Said) -> None:
    """Take in an answer: it may give the number of a statement that was being prepared."""
    operation, said.memory.preparing = said.memory.preparing, None
    if operation and len(said.head) >= _PREPARED.size:
        status, _ = _PREPARED.unpack_from(said.head)
        if status == 0:
            said.memory.remember(said.head[5:9].hex(), operation)


def _query(said: Said, command: int, *, fills: bool) -> Turn | None:
    text = said.head[_HEADER.size :].removeprefix(_ATTRIBUTES if command == _QUERY else b"")
    if not said.known and not (fills and text[:4].strip(b"( -/\n").isalpha()):
        return None
    operation = without_literals(text.decode("utf-8", "replace"), "mysql", cut=said.cut)
    if command == _PREPARE:
        said.memory.preparing = operation
    return Turn("mysql", operation)
