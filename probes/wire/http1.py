"""The first line of an HTTP/1 message, from the payload of one segment: pure, strict, and nothing else is looked at.

    GET /item/17?size=L HTTP/1.1
    HTTP/1.1 200 OK

A line may be cut: by the end of the segment, or of what was captured of it. Source: RFC 9112.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from perfwatch.probes.records import MAX_TARGET_CHARS

SWITCHING: Final = 101
"""The connection speaks another protocol from here on."""
_FINAL: Final = 200

_REQUEST: Final = re.compile(rb"([A-Z][A-Z-]{0,19}) ([^ \r\n]+)( HTTP/1\.[01]\r?\n)?")
_VERSIONS: Final = (b" HTTP/1.1\r\n", b" HTTP/1.0\r\n")
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])[ \r\n]")
_QUERY: Final = re.compile(rb"[?#;]")
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://[^/]*")
_MAX_INTERIM: Final = 8
_HEAD_END: Final = b"\r\n\r\n"
_BODY: Final = re.compile(rb"\n(?i:content-length|transfer-encoding)[ \t]*:")


class RequestLine(NamedTuple):
    """What a request asks for."""

    method: str
    target: str
    """The path: without query, fragment and path parameters, which carry tokens; `…` at its end where it was cut."""


def parse_request(payload: bytes) -> RequestLine | None:
    """Read a request line; None if the bytes do not begin with one."""
    match = _REQUEST.match(payload)
    if match is None:
        return None
    method, target, version = match.groups()
    left = payload[match.end() :]
    if version is None and not any(line.startswith(left) for line in _VERSIONS):
        return None  # the line goes on, and not as HTTP/1 does
    if target[:1] not in b"/*":
        target = _ABSOLUTE.sub(b"", target, count=1) or b"/"
    path, *query = _QUERY.split(target, maxsplit=1)
    text = path.decode(errors="replace")
    cut = len(text) > MAX_TARGET_CHARS or not (version or left or query)
    return RequestLine(method.decode(), text[: MAX_TARGET_CHARS - 1] + "…" if cut else text)


def ends_at_its_head(payload: bytes, length: int) -> bool:
    """Whether a request is complete in its first segment, of so many bytes: it has no body, as GET has none."""
    whole = len(payload) == length and payload.endswith(_HEAD_END) and payload.count(_HEAD_END) == 1
    return whole and not _BODY.search(payload)


def parse_status(payload: bytes) -> int | None:
    """Read the status of a response; interim ones (`100 Continue`) are skipped where the final one follows them.

    Else the interim one is returned. None if the bytes are not the begin of a response.
    """
    status = None
    for _ in range(_MAX_INTERIM):
        match = _STATUS.match(payload)
        if match is None:
            return status
        status = int(match[1])
        if status >= _FINAL or status == SWITCHING:
            return status
        payload = payload.partition(_HEAD_END)[2]
    return status


def is_final(status: int) -> bool:
    """Whether a status is an answer; 101 is the last one of its connection."""
    return status >= _FINAL or status == SWITCHING
