"""Saves a stretch of a stream, live or recorded, as a session of its own, with the verdicts that it gives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from perfwatch.agent import bookmarks
from perfwatch.agent.playing import Window
from perfwatch.agent.session.writer import SessionWriter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from perfwatch.agent.bookmarks import Bookmark
    from perfwatch.agent.model import SessionInfo
    from perfwatch.agent.source import Position, Source
    from perfwatch.probes.records import Record

EXAMPLES: Final = "5m, 90s, 1h, all"
_AMOUNT: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([smh])")
_UNIT_NS: Final = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_COMMIT_NS: Final = 1_000_000_000


def parse(text: str, position: Position) -> Window | None:
    """Return the stretch that ends where the view stands; `all` is all that is kept, `window` what is selected."""
    text = text.strip().lower()
    if text == "all":
        return Window(position.first_ns, position.last_ns)
    if text == "window":
        return position.window
    if match := _AMOUNT.fullmatch(text):
        amount, unit = match.groups()
        return Window(max(position.first_ns, position.now_ns - int(float(amount) * _UNIT_NS[unit])), position.now_ns)
    return None


def save(source: Source, window: Window, path: Path, marked: Iterable[Bookmark] = ()) -> int:
    """Write a new session file, and the bookmarks of that stretch beside it; returns how many records it has.

    The session's own clock stays: a moment of it is told by the same time as before. Raises PerfwatchError.
    """
    with SessionWriter(path, source.info) as writer:
        count = copied(source.info, source.cut(window), writer)
        writer.close("it was saved from a longer stream")
    kept = [one for one in marked if window.begin_ns <= one.at_ns <= window.end_ns]
    if kept:
        bookmarks.write(bookmarks.beside(path), kept)
    return count


def copied(info: SessionInfo, records: Iterable[Record], writer: SessionWriter) -> int:
    """Write a stream, a commit for each second of it, with the verdicts that it gives; returns its length."""
    from perfwatch.agent.correlator.engine import Correlator  # noqa: PLC0415 - no first screen waits for it

    correlator, count, committed_ns = Correlator(info), 0, 0
    for record in records:
        writer.write(record)
        for request in correlator.feed(record):
            writer.write_verdict(request)
        count += 1
        if record.at_ns - committed_ns >= _COMMIT_NS:
            committed_ns = record.at_ns
            writer.commit()
    return count
