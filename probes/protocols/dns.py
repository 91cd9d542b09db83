"""DNS: `A db.internal`, the type and the name that are asked for; labels that look like values are folded to `{}`.

A host's name is told as a peer's address is. Over TCP a length stands before the message. RFC 1035.
"""

from __future__ import annotations

import struct
from typing import Final

from perfwatch.probes.protocols.http1 import is_variable
from perfwatch.probes.protocols.turn import CUT, Said, Turn

_HEADER: Final = struct.Struct(">HHHHHH")  # id, flags, questions, answers, authorities, additional
_QUERY_FLAGS_ZERO: Final = 0xFA4F  # a query, of the standard kind; recursion, AD and CD may be wanted
_TYPES: Final = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    12: "PTR",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    33: "SRV",
    65: "HTTPS",
}
_MAX_LABEL: Final = 63
_FEWEST_BYTES: Final = _HEADER.size + 5


def read(said: Said) -> Turn | None:
    """Read one query."""
    head = said.head
    if len(head) >= _FEWEST_BYTES + 2 and int.from_bytes(head[:2]) == said.size - 2:
        head = head[2:]  # over TCP
    if len(head) < _FEWEST_BYTES:
        return None
    _, flags, questions, answers, authorities, _ = _HEADER.unpack_from(head)
    if flags & _QUERY_FLAGS_ZERO or (questions, answers, authorities) != (1, 0, 0):
        return None
    return _question(head[_HEADER.size :], cut=said.cut)


def _question(data: bytes, *, cut: bool) -> Turn | None:
    labels, at = [], 0
    while at < len(data) and data[at]:
        length = data[at]
        label = data[at + 1 : at + 1 + length]
        if length > _MAX_LABEL or (len(label) < length and not cut):
            return None
        if len(label) < length or not label.isascii():
            return Turn("dns", None)
        labels.append("{}" if is_variable(label.decode()) else label.decode())
        at += 1 + length
    kind = int.from_bytes(data[at + 1 : at + 3]) if at + 3 <= len(data) else 0
    name = ".".join(labels) or "."
    return Turn("dns", f"{_TYPES.get(kind, f'TYPE{kind}')} {name}" if kind else f"? {name}{CUT}")
