"""A redacted session as a file of its own, with the verdicts that it gives, and its bookmarks without their notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfwatch.agent import bookmarks
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.redact.reading import open_reader
from perfwatch.agent.saving import copied
from perfwatch.agent.session.writer import SessionWriter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from perfwatch.agent.session.reader import SessionReader


def redacted(file: Path, out: Path, *, keep: Iterable[str] = (), overwrite: bool = False) -> int:
    """Write it, and return how many records it has; raises PerfwatchError. `keep` are words of paths that may stay."""
    with open_reader(file, redact=True, keep=keep) as session:
        if out.exists() and out.samefile(file):
            raise PerfwatchError(f"{out} is the recording itself", "give another name")
        count = _write(session, out, overwrite=overwrite)
    marked = bookmarks.Bookmarks(file).all
    if marked:
        named = [bookmarks.Bookmark(one.at_ns, f"bookmark-{number}") for number, one in enumerate(marked, 1)]
        bookmarks.write(bookmarks.beside(out), named)
    return count


def _write(session: SessionReader, out: Path, *, overwrite: bool) -> int:
    with SessionWriter(out, session.info, overwrite=overwrite) as writer:
        count = copied(session.info, session.records(), writer)
        writer.close(session.ended or "the recording was cut off")
    return count
