"""memcached: `get ?`, the verb; keys and values are literals. The text protocol, meta commands, the binary one."""

from __future__ import annotations

import struct
from typing import Final

from perfwatch.probes.protocols.turn import Said, Turn

_TEXT: Final = (
    "get gets set add replace append prepend cas delete incr decr touch gat gats stats version flush_all verbosity "
    "mg ms md ma mn me"
)
_VERBS: Final = frozenset(_TEXT.split())
_ALONE: Final = frozenset({"stats", "version", "flush_all", "mn"})
_BINARY: Final = struct.Struct(">BBHBBHI")  # magic, opcode, key, extras, data type, bucket, all of the body
_BINARY_HEADER_BYTES: Final = 24
_REQUEST: Final = 0x80
_OPCODES: Final = {
    0: "get", 1: "set", 2: "add", 3: "replace", 4: "delete", 5: "incr", 6: "decr", 8: "flush_all", 9: "get",
    10: "version", 11: "version", 12: "get", 13: "get", 14: "append", 15: "prepend", 16: "stats", 17: "set",
    28: "touch", 29: "gat",
}  # fmt: skip
_SASL: Final = {0x20, 0x21, 0x22}


def read(said: Said) -> Turn | None:
    """Read one command."""
    if said.head[:1] == b"\x80":
        return _binary(said)
    line, ended, _ = said.head.partition(b"\r\n")
    verb, space, _ = line.partition(b" ")
    name = verb.decode("ascii", "replace")
    if name == "quit" and said.known:
        return Turn("memcached", phase="chatter")
    if name not in _VERBS or not (ended or said.cut) or not (space or name in _ALONE):
        return None
    return Turn("memcached", f"{name} ?" if space else name)


def _binary(said: Said) -> Turn | None:
    if len(said.head) < _BINARY_HEADER_BYTES:
        return None
    _, opcode, key, extras, data_type, _, body = _BINARY.unpack_from(said.head)
    if data_type or key + extras > body or body + _BINARY_HEADER_BYTES > said.size:
        return None
    if opcode in _SASL:
        return Turn("memcached", phase="opening")
    name = _OPCODES.get(opcode)
    return Turn("memcached", f"{name} ?" if name and key else name)
