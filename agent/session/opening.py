"""Opens a session for reading, whatever state it is in, and refuses what is none; writes nothing to it.

What is read may have been made by an attacker: SQLite is told to trust nothing of it, and nothing is read
from its tables before its schema was found to be the one that `format` lays down, word for word.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session import format as layout
from perfwatch.agent.session import lock

if TYPE_CHECKING:
    from pathlib import Path

_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_HARDENING: Final = (
    "trusted_schema = OFF",
    "query_only = ON",
    "cell_size_check = ON",
    "mmap_size = 0",
    "temp_store = MEMORY",
)
_LIMITS: Final = {
    sqlite3.SQLITE_LIMIT_LENGTH: layout.MAX_SECOND_BYTES + (1 << 16),
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 1 << 16,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}
BROKEN: Final = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What SQLite raises over a damaged file; the second, where the text of its error quotes damage."""

_WAL_HEADER_BYTES: Final = 32
_PERFWATCH: Final = "a session is made by `perfwatch record`"


class Opened(NamedTuple):
    """A session that is open for reading."""

    db: sqlite3.Connection
    version: int
    format: layout.Format
    is_live: bool
    """Somebody is recording into it."""
    note: str | None
    """What is missing already, in one line."""


def open_session(path: Path) -> Opened:
    """Open a session, or raise PerfwatchError that says in one line why it cannot be read."""
    found = _find(path)
    is_live = lock.is_locked(found)
    try:
        db, note = _connect(found, is_live=is_live)
    except BROKEN as error:
        raise _refusal(path, error) from None
    try:
        version = _check(path, db)
    except BROKEN as error:
        db.close()
        raise _refusal(path, error) from None
    except PerfwatchError:
        db.close()
        raise
    return Opened(db, version, layout.FORMATS[version], is_live, note)


def _find(path: Path) -> Path:
    """Follow symbolic links to a regular file that this user can read and that is not empty."""
    try:
        found = path.resolve(strict=True)
        status = found.stat()
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PerfwatchError(f"cannot open {path}: {reason}") from None
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "not a file")
        raise PerfwatchError(f"{path} is {kind}, not a session", _PERFWATCH)
    if not os.access(found, os.R_OK, effective_ids=True):
        raise PerfwatchError(f"cannot open {path}: Permission denied", f"sudo chown $USER {path}")
    if status.st_size == 0:
        raise PerfwatchError(f"{path} is empty, not a session", _PERFWATCH)
    return found


def _connect(path: Path, *, is_live: bool) -> tuple[sqlite3.Connection, str | None]:
    """Open by the first way that this file, its siblings and its medium allow."""
    if not is_live and not _has_content(lock.wal_of(path)):
        return _try(path, "immutable=1"), None
    for way in _ways(path):
        with contextlib.suppress(sqlite3.OperationalError):
            return _try(path, way), None
    missing = f"its newest part, in {lock.wal_of(path).name}, cannot be read"
    return _try(path, "immutable=1"), missing


def _ways(path: Path) -> list[str]:
    """Return the ways to read a file together with its WAL: without a trace first."""
    try:
        shm = path.with_name(path.name + "-shm").lstat()
    except FileNotFoundError:
        return [""]  # SQLite makes it, where the medium allows
    except OSError:
        return []
    if not stat.S_ISREG(shm.st_mode):
        return []
    # Without writing to FILE-shm, SQLite cannot read a WAL whose first commit was torn. Never write to a hard link.
    return ["readonly_shm=1", ""] if shm.st_nlink == 1 else ["readonly_shm=1"]


def _try(path: Path, way: str) -> sqlite3.Connection:
    """Open in one way. Raises sqlite3.Error where that does not do."""
    db = _open(path, way)
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BROKEN as error:
        db.close()
        if _code(error) != sqlite3.SQLITE_CORRUPT:
            raise
        db = _open(path, way)
        db.execute("PRAGMA writable_schema = ON")  # reads a file that is shorter than it says; writes nothing
    return db


def _open(path: Path, way: str) -> sqlite3.Connection:
    uri = f"file:{quote(bytes(path))}?mode=ro&{way}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    for limit, value in _LIMITS.items():
        db.setlimit(limit, value)
    for pragma in _HARDENING:
        db.execute(f"PRAGMA {pragma}")
    return db


def _check(path: Path, db: sqlite3.Connection) -> int:
    """Return the format's number; PerfwatchError unless this is a session of one that is known, and nothing besides."""
    if db.execute("PRAGMA application_id").fetchone() != (layout.APPLICATION_ID,):
        raise PerfwatchError(f"{path} is an SQLite database of another program, not a session", _PERFWATCH)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > layout.VERSION:
        raise PerfwatchError(
            f"{path} was made by a newer perfwatch (format {version}, this one reads {layout.VERSION})",
            "upgrade perfwatch",
        )
    known = layout.FORMATS.get(version)
    if known is None:
        raise PerfwatchError(f"{path} is damaged: there is no format {version}")
    expected = sorted(("table", table.name, table.name, table.ddl) for table in known.tables)
    found = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT ?", (len(expected) + 1,))
    if sorted(found.fetchall(), key=repr) != sorted(expected, key=repr):
        raise PerfwatchError(f"{path} is damaged, or was changed by another program: its tables are not a session's")
    return int(version)


def _has_content(path: Path) -> bool:
    """Whether a WAL is a regular file (no link, no pipe) with more than its header."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > _WAL_HEADER_BYTES


def _code(error: Exception) -> int:
    """Return what SQLite calls an error: CORRUPT too where Python could not even decode its text."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT))


def _refusal(path: Path, error: Exception) -> PerfwatchError:
    """Say in one line why SQLite cannot read the file."""
    code = _code(error)  # its text may quote the file: not to be shown
    if code == sqlite3.SQLITE_NOTADB:
        return PerfwatchError(f"{path} is not a session, or its beginning is damaged", _PERFWATCH)
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR}:
        return PerfwatchError(f"{path} is damaged and cannot be read")
    return PerfwatchError(f"{path} cannot be read (SQLite error {code})")
