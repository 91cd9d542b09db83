"""A session whose beginning is damaged, put right in a copy: what stands there is the same in all of a format.

The pages that hold the schema are taken from an empty session that is made for it. Nothing is believed on the way: of
what is found then, only seconds that match their checksums count, and without any the file was none.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session import format as layout
from perfwatch.agent.session import lock, place
from perfwatch.agent.session.reader import SessionReader

if TYPE_CHECKING:
    from collections.abc import Iterator

_OLD_PAGE_BYTES: Final = 4096
"""Up to format 3, SQLite's own choice."""
_PAGES: Final = slice(28, 32)
"""Where the header has the number of pages; that it is up to date is told by the next two, which are alike then."""
_CHANGES: Final = slice(24, 28)
_CHANGES_COUNTED: Final = slice(92, 96)
_FREE_PAGES: Final = slice(32, 40)
_WAL_VERSIONS: Final = slice(18, 20)


class _Schema(NamedTuple):
    """The pages of an empty session that hold its schema, by number from 1."""

    page_bytes: int
    pages: dict[int, bytes]


@contextlib.contextmanager
def salvaged(path: Path, beside: Path) -> Iterator[SessionReader]:
    """Open what can be made of a session that does not open, from a copy in a directory; PerfwatchError for nothing."""
    with tempfile.TemporaryDirectory(prefix=place.DRAFT, dir=beside) as directory:
        copy = Path(directory) / "session"
        for version in reversed(layout.FORMATS):
            shutil.copyfile(path, copy)
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(lock.wal_of(path), lock.wal_of(copy))
            _put(copy, _schema_of(version, Path(directory) / f"empty-{version}"))
            with contextlib.suppress(PerfwatchError), SessionReader(copy, is_salvaged=True) as reader:
                if next(reader.seconds(), None) is not None:
                    yield reader
                    return
    raise PerfwatchError(f"nothing of {path} can be saved")


def _schema_of(version: int, path: Path) -> _Schema:
    """Make an empty session of a format, and take its schema; no pages where this SQLite cannot tell which."""
    size = layout.PAGE_BYTES if layout.FORMATS[version].is_packed else _OLD_PAGE_BYTES
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size = {size}")
        db.execute(f"PRAGMA application_id = {layout.APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("BEGIN")
        for table in layout.FORMATS[version].tables:
            db.execute(table.ddl)
        db.execute("COMMIT")
        try:
            found = db.execute("SELECT pageno FROM dbstat WHERE name IN ('sqlite_schema', 'sqlite_master')").fetchall()
        except sqlite3.OperationalError:
            found = []
    data = path.read_bytes()
    return _Schema(size, {number: data[(number - 1) * size : number * size] for (number,) in found})


def _put(copy: Path, schema: _Schema) -> None:
    """Write these pages over those of a file, with a header that fits it."""
    count = max(copy.stat().st_size // schema.page_bytes, 1)
    with copy.open("r+b") as file:
        for number, page in schema.pages.items():
            file.seek((number - 1) * schema.page_bytes)
            file.write(_headed(page, count, is_wal=lock.wal_of(copy).exists()) if number == 1 else page)


def _headed(page: bytes, count: int, *, is_wal: bool) -> bytes:
    head = bytearray(page)
    head[_PAGES] = count.to_bytes(4)
    head[_CHANGES_COUNTED] = head[_CHANGES]
    head[_FREE_PAGES] = bytes(8)
    head[_WAL_VERSIONS] = b"\x02\x02" if is_wal else b"\x01\x01"
    return bytes(head)
