r"""Redis and its kin: `HGET ?`, the command; keys and values are literals. What follows in the same pipeline is `…`.

`PUBLISH`, `XADD` and pushes to a list hand something to a topic, a stream or a queue. RESP: `*2\r\n$3\r\nGET\r\n`.
"""

from __future__ import annotations

from typing import Final, Literal

from perfwatch.probes.protocols.turn import CUT, Said, Turn

_PUBLISHES: Final = frozenset({"PUBLISH", "SPUBLISH", "XADD", "LPUSH", "RPUSH", "LPUSHX", "RPUSHX"})
_OPENS: Final = frozenset({"HELLO", "AUTH", "CLIENT", "SELECT", "READONLY"})
_GROUPS: Final = (
    "ACL CLIENT CLUSTER COMMAND CONFIG DEBUG FUNCTION LATENCY MEMORY MODULE OBJECT PUBSUB SCRIPT SLOWLOG XGROUP XINFO"
)
_WITH_SUBCOMMAND: Final = frozenset(_GROUPS.split())
_INLINE: Final = frozenset({"PING", "QUIT", "INFO"})
_MAX_NAME: Final = 32
_MAX_ARGUMENTS: Final = 1 << 20


def read(said: Said) -> Turn | None:
    """Read the first command."""
    if not said.head.startswith(b"*"):
        return _inline(said)
    count, rest = _number(said.head[1:])
    name, rest = _bulk(rest)
    if not 0 < count <= _MAX_ARGUMENTS or not name:
        return None
    name = name.upper()
    words, given = name, 1
    if name in _WITH_SUBCOMMAND and count > 1:
        second, rest = _bulk(rest)
        words, given = f"{name} {second.upper()}" if second else name, 2
    operation = words + (" ?" if count > given else "")
    if _behind(rest, count - given).startswith(b"*"):
        operation += " " + CUT
    kind: Literal["call", "publish"] = "publish" if name in _PUBLISHES else "call"
    return Turn("redis", operation, kind, "opening" if name in _OPENS else "asking")


def _inline(said: Said) -> Turn | None:
    line, ended, _ = said.head.partition(b"\r\n")
    name = line.decode("ascii", "replace").upper()
    return Turn("redis", name) if ended and said.known and name in _INLINE else None


def _number(data: bytes) -> tuple[int, bytes]:
    """Return the number that a line is, and what follows; -1 where it is none."""
    line, ended, rest = data.partition(b"\r\n")
    return (int(line), rest) if ended and line.isdigit() and len(line) < _MAX_NAME else (-1, b"")


def _bulk(data: bytes) -> tuple[str, bytes]:
    """Return a word, and what follows; an empty one where there is none that could be a command's."""
    length, rest = _number(data[1:]) if data.startswith(b"$") else (-1, b"")
    word = rest[: max(length, 0)]
    is_word = 0 < length <= _MAX_NAME and len(word) == length and word.replace(b".", b"a").replace(b"_", b"a").isalnum()
    return (word.decode("ascii"), rest[length + 2 :]) if is_word and not word.isdigit() else ("", b"")


def _behind(data: bytes, arguments: int) -> bytes:
    """Return what follows behind so many arguments; nothing where one of them is cut."""
    for _ in range(arguments):
        length, rest = _number(data[1:]) if data.startswith(b"$") else (-1, b"")
        if length < 0 or length + 2 > len(rest):
            return b""
        data = rest[length + 2 :]
    return data
