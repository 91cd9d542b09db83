"""What the first bytes of a request and of its answer say beyond the first line: told as a number and a word.

Nothing of them is kept: neither a query string nor the value of a header.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from perfwatch.probes.records import Body

_SECRET: Final = os.urandom(16)
_BITS: Final = 0xFFFF_FFFF
_TYPE: Final = re.compile(rb"(?i)\r\ncontent-type:[ \t]*([^\r;, ]+)")
_ENCODING: Final = re.compile(rb"(?i)\r\ncontent-encoding:[ \t]*([^\r;, ]+)")
_TEXT: Final = re.compile(
    rb"(?i)text/(?!event-stream)|(?:application|image)/(?:[^/]+\+)?(?:json|xml|javascript|ecmascript|x-ndjson|x-javascript)\Z|"
    rb"application/(?:manifest|geo|ld|problem|vnd\.api)\+json|image/svg|application/graphql|application/yaml"
)
_AS_IT_IS: Final = frozenset({b"identity"})


def asked(head: bytes) -> int | None:
    """Return a number for what a request asks for: method and whole target. None where its first line is cut off.

    The hash (SipHash of CPython, 32 bits of it) takes in a secret that ends with the process: what was asked cannot be
    guessed from it afterwards.
    """
    line, complete, _ = head.partition(b"\r\n")
    return hash(_SECRET + line) & _BITS if complete and line else None


def body(answer: bytes) -> Body | None:
    """Return what an answer's head says of its body; None where it is not all there and does not say it either."""
    head, complete, _ = answer.partition(b"\r\n\r\n")
    encoding, kind = _ENCODING.search(head), _TYPE.search(head)
    if encoding is not None and encoding[1].lower() not in _AS_IT_IS:
        return "compressed"
    if kind is not None and not _TEXT.match(kind[1]):
        return "other"
    return "text" if kind is not None and complete else None
