"""Numbers of traces and spans: made of the recording and the request, so that what is sent twice is the same."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from perfwatch.agent.model import SessionInfo

_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8
ROOT: Final = -1
"""In place of a call: the request itself."""


class Ids:
    """Those of one recording. A request is a trace; its calls are spans in it."""

    def __init__(self, info: SessionInfo) -> None:
        session = f"{info.hostname}\0{info.pid}\0{info.started_unix_ns}\0{info.started_ns}"
        self._key = blake2b(session.encode("utf-8", "replace"), digest_size=32).digest()

    def trace(self, request: int) -> bytes:
        """Return the number of a request's trace, 16 bytes."""
        return self._hash(_TRACE_BYTES, str(request))

    def span(self, request: int, call: int = ROOT) -> bytes:
        """Return the number of the span of a request, or of one of its calls by place, 8 bytes."""
        return self._hash(_SPAN_BYTES, f"{request}/{call}")

    def _hash(self, size: int, name: str) -> bytes:
        return blake2b(name.encode(), digest_size=size, key=self._key).digest()
