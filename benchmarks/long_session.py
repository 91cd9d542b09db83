"""A session as long as a day: the stream of `tests/record_stream.py`, second by second, with the verdicts that it gets.

It is written as a recorder writes it, but for the syncing: a day would take as many syncs as it has seconds.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import making
from record_stream import Stream

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.session import format as layout
from perfwatch.agent.session.second import Filling, SecondMarks
from perfwatch.agent.session.stored import StoredVerdict
from perfwatch.agent.session.writer import SessionWriter

DAY_S: Final = 86_400
RATE: Final = 68
"""Requests a second: with the samples of all probes it makes 2 GB of a day."""
_TOGETHER_S: Final = 100
_STATED_S: Final = 3600


def write(path: Path, seconds: int, rate: int = RATE) -> None:
    """Write a session of so many seconds; says every hour how far it is."""
    info = making.info(cpus=8)
    with SessionWriter(path, info) as writer:
        writer.close("the day was over")
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("DELETE FROM ending")
    correlator, stream, filling, marks = Correlator(info), Stream(rate), Filling(1, 1, 1), SecondMarks()
    db.execute("BEGIN")
    for number in range(seconds):
        for record in stream.second(number):
            filling.add(record)
            marks.take(record)
            for request in correlator.feed(record):
                if request.verdict is not None:
                    filling.add_verdict(StoredVerdict.of(request.record.id, request.verdict))
                    marks.judged((request,))
        sealed = filling.seal(marks)
        marks.clear()
        for table in layout.CURRENT.tables:
            db.executemany(table.insert, sealed.get(table.name, ()))
        filling = Filling(filling.number + 1, filling.next_seq, filling.next_verdict)
        if number % _TOGETHER_S == 0:
            db.execute("COMMIT")
            db.execute("BEGIN")
        if number % _STATED_S == 0:
            sys.stderr.write(f"hour {number // _STATED_S}: {path.stat().st_size >> 20} MiB\n")
    totals = ("the day was over", seconds, filling.first_seq - 1, filling.first_verdict - 1)
    db.execute(layout.ENDING.insert, (*totals, layout.checksum([totals])))
    db.execute("COMMIT")
    db.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), *map(int, sys.argv[3:]))
