"""A copy of a session as it stands, also while it is recorded: SQLite's backup API reads one moment of it.

The recorder goes on meanwhile. The copy is one file; of a recording that is not finished it says so as its end.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING
from urllib.parse import quote

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session import format as layout
from perfwatch.agent.session import place
from perfwatch.agent.session.opening import BROKEN, open_session

if TYPE_CHECKING:
    from pathlib import Path

_ENDED = "it was copied before it was finished"
_TOTALS = "SELECT max(number), coalesce(sum(records), 0), coalesce(sum(verdicts), 0) FROM seconds"


def copy(path: Path, output: Path, *, overwrite: bool = False) -> None:
    """Copy a session; raises PerfwatchError where it cannot be read, or the copy not be written."""
    opened = open_session(path)
    with contextlib.closing(opened.db):

        def fill(draft: Path) -> None:
            with contextlib.closing(sqlite3.connect(f"file:{quote(bytes(draft))}?mode=rw", uri=True)) as target:
                opened.db.backup(target)
                target.execute("PRAGMA journal_mode = DELETE").fetchall()
                _finish(target)

        try:
            place.make(place.settle(output), fill, overwrite=overwrite)
        except BROKEN as error:
            raise PerfwatchError(f"cannot copy {path}: {error}", f"perfwatch session verify {path}") from None


def _finish(db: sqlite3.Connection) -> None:
    """Note how the copy ended, unless the recording was finished."""
    if db.execute("SELECT count(*) FROM ending").fetchone() != (0,):
        return
    number, records, verdicts = db.execute(_TOTALS).fetchone()
    totals = (_ENDED, number or 0, records, verdicts)
    with db:
        db.execute(layout.ENDING.insert, (*totals, layout.checksum([totals])))
