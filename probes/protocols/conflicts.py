"""Answers that say: it came into conflict with another, or shall be tried again. Of the first bytes of an answer.

HTTP's statuses: RFC 9110 and 6585. PostgreSQL: ErrorResponse, whose field C is of the SQLSTATE class 40 (transaction
rollback). MySQL: an ERR packet with 1205 (lock wait timeout) or 1213 (deadlock). Redis: EXEC answers nil where what was
watched has changed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perfwatch.probes.records import Protocol

_LIKE: Final[Mapping[Protocol, re.Pattern[bytes]]] = {
    "http/1": re.compile(rb"HTTP/1\.[01] (?:409|412|425|429|503)(?: |\r)"),
    "postgresql": re.compile(rb"(?s)E....S[^\0]{1,16}\0(?:V[^\0]{1,16}\0)?C40[0-9A-Z]{3}\0"),
    "mysql": re.compile(rb"(?s)....\xff(?:\xb5\x04|\xbd\x04)"),
    "redis": re.compile(rb"(?:\+OK\r\n)?(?:\+QUEUED\r\n)+(?:\*-1|_)\r\n"),
}
_NIL: Final = re.compile(rb"(?:\*-1|_)\r\n")


def conflicts(protocol: Protocol, operation: str | None, head: bytes) -> bool:
    """Whether an answer that begins so is one of a conflict."""
    like = _LIKE.get(protocol)
    if like is None:
        return False
    return like.match(head) is not None or (
        protocol == "redis" and operation == "EXEC" and _NIL.match(head) is not None
    )
