"""PostgreSQL: the text of a simple query or of what is prepared, and of a prepared statement what was prepared.

A statement that was prepared before anybody looked is `EXECUTE its_name`. Startup, TLS request and password are the
setting up of the connection. Protocol 3: a letter, a length that counts itself, a body.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.protocols.sql import without_literals
from perfwatch.probes.protocols.turn import Said, Turn, marked

if TYPE_CHECKING:
    from collections.abc import Iterator

_STARTUP: Final = struct.Struct(">II")
_MESSAGE: Final = struct.Struct(">cI")
_STARTUPS: Final = {196608, 196610, 80877103, 80877104}  # 3.0, 3.2, SSLRequest, GSSENCRequest
_CANCEL: Final = 80877102
_LETTERS: Final = b"QPBEDSCHFdcfpX"
_CHATTER: Final = frozenset({b"S", b"H", b"X", b"d", b"c", b"f"})
"""Sync, Flush, Terminate, and what is copied in: on their own they ask for nothing new."""
_MAX_STARTUP: Final = 10_000
_MAX_NAME: Final = 63


class Message(NamedTuple):
    """One message; of the last, what of it is there."""

    letter: bytes
    body: bytes
    cut: bool


def read(said: Said) -> Turn | None:
    """Read the startup, or messages."""
    if len(said.head) >= _STARTUP.size:
        length, version = _STARTUP.unpack_from(said.head)
        if version in _STARTUPS and _STARTUP.size <= length <= _MAX_STARTUP:
            return Turn("postgresql", phase="opening")
        if version == _CANCEL and length == said.size:
            return Turn("postgresql", "CANCEL")
    messages = list(_messages(said))
    if not messages or (not said.known and not _is_likely(messages[0], said)):
        return None
    return _turn(messages, said)


def _messages(said: Said) -> Iterator[Message]:
    at, head = 0, said.head
    while at + _MESSAGE.size <= len(head):
        letter, length = _MESSAGE.unpack_from(head, at)
        end = at + 1 + length
        if letter not in _LETTERS or length < 4 or (end > said.size and not said.cut):  # noqa: PLR2004  (the length itself)
            return
        yield Message(letter, head[at + _MESSAGE.size : end], cut=end > len(head))
        at = end


def _is_likely(first: Message, said: Said) -> bool:
    """Whether it could be nothing else: a query or statement of text, or a Bind, that fills what was sent."""
    if first.letter == b"Q":
        whole = not first.cut and first.body.endswith(b"\0")
        return (whole or said.cut) and first.body[:4].strip(b"( -/").isalpha()
    return first.letter in b"PB" and said.size > _MESSAGE.size and b"\0" in first.body and not _binary(first.body)


def _binary(body: bytes) -> bool:
    name = body.partition(b"\0")[0]
    return bool(name) and not name.decode("utf-8", "replace").isprintable()


def _turn(messages: list[Message], said: Said) -> Turn:
    operation = None
    for message in messages:
        operation = operation or _operation(message, said)
    letters = {message.letter for message in messages}
    if b"p" in letters:  # password, or the next word of SASL
        return Turn("postgresql", phase="opening")
    asks = letters.difference(_CHATTER)
    return Turn("postgresql", operation, phase="asking" if asks or b"S" in letters else "chatter")


def _operation(message: Message, said: Said) -> str | None:
    if message.letter == b"Q":
        return _text(message.body, cut=message.cut)
    if message.letter == b"P":
        return _prepared(message, said)
    if message.letter == b"B":
        _, _, rest = message.body.partition(b"\0")
        name, ends, _ = rest.partition(b"\0")
        return _recalled(name.decode("utf-8", "replace"), said) if ends else None
    return None


def _prepared(message: Message, said: Said) -> str | None:
    name, ends, text = message.body.partition(b"\0")
    if not ends:
        return None
    operation = _text(text, cut=b"\0" not in text)
    if len(name) <= _MAX_NAME:
        said.memory.remember(name.decode("utf-8", "replace"), operation)
    return operation


def _recalled(name: str, said: Said) -> str | None:
    known = said.memory.recall(name)
    if known or not name:
        return known
    is_plain = len(name) <= _MAX_NAME and name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()
    return f"EXECUTE {name}" if is_plain else None


def _text(data: bytes, *, cut: bool) -> str:
    text = data.partition(b"\0")[0].decode("utf-8", "replace")
    return marked(without_literals(text, "postgresql", cut=cut), cut=cut)
