"""Writes a session: records in order of delivery, one commit a second; `format` says what that promises."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

import msgspec

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session import format as layout
from perfwatch.agent.session import lock, place
from perfwatch.agent.session.second import Filling, SecondMarks
from perfwatch.agent.session.stored import StoredVerdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from perfwatch.agent.model import Request, SessionInfo
    from perfwatch.probes.records import Record

_LEAVE_TRIES: Final = 10
_LEAVE_PAUSE_S: Final = 0.1
_FULL: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_TIMES_PACKED: Final = 3
"""A row in a page, and in part once more in an overflow page, for what a record takes packed."""
_PAGES_BEGUN_BYTES: Final = 256 << 10
"""Two pages of each table, and what SQLite keeps of each of them in the WAL."""
_LOCAL: Final = "record to a directory on a local disk"


class SessionWriter:
    """The file that a recording goes to.

    Records are kept in memory until `commit`, which the caller calls about once a second, whether
    anything came or not. What a `commit` returned from outlives a `kill -9` and a power cut. (`write`
    commits by itself only to keep a second within what a reader accepts.) A commit costs one fsync.

    The first failure to write, such as a full disk, raises PerfwatchError once. After it the writer takes
    nothing more, silently, and the file keeps all that was committed. Not for several threads at once.
    """

    def __init__(self, path: Path, info: SessionInfo, *, overwrite: bool = False, at_leisure: bool = False) -> None:
        """`at_leisure`: what is written is kept elsewhere, so commits are not synced, and packing may take its time."""
        self._path = place.settle(path)
        place.make(self._path, lambda draft: _create(draft, info), overwrite=overwrite)
        self._filling = Filling(number=1, first_seq=1, first_verdict=1)
        self._marks = SecondMarks()
        self._is_open, self._at_leisure = True, at_leisure
        try:
            self._db = _connect(self._path)
            self._db.execute(f"PRAGMA synchronous = {'OFF' if at_leisure else 'FULL'}")
            self._bytes = self._size()  # and opens the WAL, which the lock is on
            self._lock = lock.hold(self._path)
        except (sqlite3.Error, OSError) as error:
            place.remove(self._path)
            raise _failure(self._path, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close("the recorder ended")
            return
        with contextlib.suppress(PerfwatchError):  # the error that is under way says more
            self.close(f"the recorder failed ({kind.__name__})")

    @property
    def bytes_written(self) -> int:
        """What the recording takes up as one file, as of the last commit."""
        return self._bytes

    @property
    def wal_bytes(self) -> int:
        """What its newest commits take beside it, until they are folded into the file."""
        try:
            return lock.wal_of(self._path).stat().st_size
        except OSError:
            return 0

    @property
    def most_bytes(self) -> int:
        """What the next commit, or the end of the recording, may take on the disk at most, beyond what it takes now.

        A page may be written to the WAL twice, and folding the WAL into the file takes as much again.
        """
        return self.wal_bytes + 2 * (_TIMES_PACKED * self.uncommitted_bytes + _PAGES_BEGUN_BYTES)

    @property
    def uncommitted_bytes(self) -> int:
        """What was taken since the last commit, packed."""
        return self._filling.size_bytes

    def write(self, record: Record) -> None:
        """Take the next record of the stream; it is safe once `commit` has returned."""
        if self._is_open:
            self._filling.add(record)
            self._marks.take(record)
            if self._filling.is_full:
                self.commit()

    def write_verdict(self, request: Request) -> None:
        """Take the verdict that was given on a request; nothing for a request that was not judged."""
        verdict = request.verdict
        if self._is_open and verdict is not None:
            self._filling.add_verdict(StoredVerdict.of(request.record.id, verdict))
            self._marks.judged((request,))
            if self._filling.is_full:
                self.commit()

    def write_stored(self, verdict: StoredVerdict, requested_ns: int) -> None:
        """Take a verdict of another session, and when its request was told."""
        if self._is_open:
            self._filling.add_verdict(verdict)
            self._marks.add("slow", requested_ns)
            if self._filling.is_full:
                self.commit()

    def commit(self) -> None:
        """Make all that was written so far safe."""
        if not self._is_open or self._filling.is_empty:
            return
        sealed = self._filling.seal(self._marks, at_leisure=self._at_leisure)
        with self._guard():
            with self._transaction():
                for table in layout.CURRENT.tables:
                    self._db.executemany(table.insert, sealed.get(table.name, ()))
            self._bytes = self._size()
        self._marks.clear()
        done = self._filling
        self._filling = Filling(done.number + 1, done.next_seq, done.next_verdict)

    def close(self, ended: str) -> None:
        """Commit, note why the recording ended, and leave one file that is finished. May be called again."""
        self.commit()
        if not self._is_open:
            return
        next_one = self._filling
        totals = (ended, next_one.number - 1, next_one.first_seq - 1, next_one.first_verdict - 1)
        with self._guard():
            with self._transaction():
                self._db.execute(layout.ENDING.insert, (*totals, layout.checksum([totals])))
            self._leave_wal()
            self._bytes = self._size()
        self._release()

    def abandon(self) -> None:
        """Leave the file as of the last commit, unfinished. May be called again."""
        if self._is_open:
            self._release()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, and on the disk when it is left."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn the first failure into a PerfwatchError, and end the writing with it."""
        try:
            yield
        except sqlite3.Error as error:
            self._release()
            raise _failure(self._path, error) from None

    def _leave_wal(self) -> None:
        """Fold the WAL into the file, and leave WAL mode unless somebody goes on reading the file."""
        for _ in range(_LEAVE_TRIES):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            try:
                self._db.execute("PRAGMA journal_mode = DELETE").fetchall()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise
                time.sleep(_LEAVE_PAUSE_S)
            else:
                return

    def _size(self) -> int:
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (page_bytes,) = self._db.execute("PRAGMA page_size").fetchone()
        return int(pages) * int(page_bytes)

    def _release(self) -> None:
        """Close the file, whatever state it is in."""
        self._is_open = False
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        os.close(self._lock)


def _create(path: Path, info: SessionInfo) -> None:
    """Write the empty session: its schema, and what it says of itself."""
    fields = msgspec.structs.asdict(info)
    rows = [(name, msgspec.json.encode(value).decode()) for name, value in fields.items()]
    try:
        with contextlib.closing(_connect(path)) as db:
            db.execute("PRAGMA synchronous = OFF")  # place.make syncs it
            db.execute(f"PRAGMA page_size = {layout.PAGE_BYTES}")
            db.execute(f"PRAGMA application_id = {layout.APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {layout.VERSION}")
            if db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
                raise PerfwatchError(f"the file system of {path.parent} cannot hold a recording", _LOCAL)
            db.execute("BEGIN")
            for table in layout.CURRENT.tables:
                db.execute(table.ddl)
            db.executemany(layout.SESSION.insert, [*rows, ("crc32", str(layout.checksum(rows)))])
            db.execute("COMMIT")
    except sqlite3.Error as error:
        raise _failure(path.parent, error) from None


def _connect(path: Path) -> sqlite3.Connection:
    """Open for writing, transactions by hand. Whoever uses it sees to it that one thread does at a time."""
    uri = f"file:{quote(bytes(path))}?mode=rw"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def _failure(path: Path, error: sqlite3.Error | OSError) -> PerfwatchError:
    """Say in one line why nothing more can be written."""
    if getattr(error, "sqlite_errorcode", None) in _FULL:
        return PerfwatchError(
            f"the disk is full: nothing more can be recorded into {path}",
            "what was committed until now is safe; free some space, or record to another disk",
        )
    return PerfwatchError(f"cannot write to {path}: {error}", _LOCAL)
