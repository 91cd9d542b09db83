"""What was served that need not be served so: files that do not change, and large texts as they are."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.chances.notes import Note

if TYPE_CHECKING:
    from perfwatch.agent.model import Request

_FOLDERS: Final = frozenset({"static", "assets", "media", "_next", "dist", "public"})
_NAMES_END: Final = "css js mjs map png jpg jpeg gif webp avif svg ico woff woff2 ttf otf eot mp4 webm mp3 wasm"
_EXTENSIONS: Final = frozenset(_NAMES_END.split())
_METHODS: Final = frozenset({"GET", "HEAD"})
_ANSWERS: Final = frozenset({200, 206, 304})
_MOST_EXTENSION: Final = 6
_SMALLER: Final = 0.7
"""Of text, what compressing it usually takes away."""


def static(request: Request) -> Note | None:
    """Return a file that Python has served: by its folder, or its name's end."""
    record = request.record
    target = record.target
    if target is None or not _is_file(target) or record.method not in _METHODS or record.status not in _ANSWERS:
        return None
    return Note("static", request.ledger.total_ns, record.sent_bytes, target, request.ledger["on_cpu"])


@lru_cache(maxsize=4096)
def _is_file(target: str) -> bool:
    end = target[-_MOST_EXTENSION:].rpartition(".")[2].lower()
    return end in _EXTENSIONS or target[1:].partition("/")[0] in _FOLDERS


def plain_text(request: Request) -> Note | None:
    """Return a large text that was sent as it is; it costs the sending, as far as the client was waited for."""
    record = request.record
    if record.body != "text" or record.status != 200:  # noqa: PLR2004
        return None
    return Note("compress", round(request.ledger["send"] * _SMALLER), record.sent_bytes, record.target or "?")
