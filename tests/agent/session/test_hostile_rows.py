"""Files of format 3 that somebody forged: all checksums are right, and what they guard is wrong."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tracemalloc
import zlib
from pathlib import Path

import msgspec
import pytest

from perfwatch.agent.session import format as layout
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.rows import checksum
from perfwatch.probes.records import Loss, ServedRequest, encode

FILE = Path(__file__).parents[2] / "fixtures" / "sessions" / "format-3-linux-6.18.session"
FORMAT = layout.FORMATS[3]
MEBIBYTE = 1 << 20


@pytest.fixture
def path(tmp_path):
    shutil.copy(FILE, tmp_path / "s")
    return tmp_path / "s"


def _seconds():
    with SessionReader(FILE) as reader:
        return [second.records for second in reader.seconds()]


def _forge(path, *statements, reseal=()):
    """Change a session, and make the checksums of these seconds right again."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(*statement) if isinstance(statement, tuple) else db.execute(statement)
        for number in reseal:
            db.execute("UPDATE seconds SET crc32 = ? WHERE number = ?", (_crc(db, number), number))
        db.commit()


def _crc(db, number):
    head = db.execute("SELECT * FROM seconds WHERE number = ?", (number,)).fetchone()[:-1]
    rows = {}
    for table in FORMAT.checked:
        first, count = head[3:5] if table is layout.VERDICT_TABLE else head[1:3]
        select = f"SELECT * FROM {table.name} WHERE seq BETWEEN ? AND ? ORDER BY seq"
        rows[table.name] = db.execute(select, (first, first + count - 1)).fetchall()
    blob = db.execute("SELECT packed FROM dense WHERE second = ?", (number,)).fetchone()
    return checksum(FORMAT, head, rows, blob[0] if blob else b"")


def _dense(*, parts=(), records=(), verdicts=()):
    return zlib.compress(msgspec.msgpack.encode((parts, records, verdicts)))


def _left_out(path):
    """All but the first second come, and that is said."""
    _, *rest = _seconds()
    with SessionReader(path) as reader:
        assert list(reader.records()) == [record for second in rest for record in second]
        assert reader.note == f"1 of {1 + len(rest)} seconds are damaged and left out"


def test_the_forger_can_make_a_sound_session(path):
    _forge(path, "UPDATE requests SET waits_lost = 77", reseal=range(1, 1 + len(_seconds())))
    with SessionReader(path) as reader:
        assert {record.waits_lost for record in reader.records() if isinstance(record, ServedRequest)} == {77}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE requests SET pid = 'root' WHERE seq <= (SELECT records FROM seconds WHERE number = 1)",
        "UPDATE requests SET target = x'ff' WHERE seq <= (SELECT records FROM seconds WHERE number = 1)",
        "UPDATE requests SET lock_ns = 1.5 WHERE seq <= (SELECT records FROM seconds WHERE number = 1)",
        "UPDATE requests SET outcome = 'fine' WHERE seq <= (SELECT records FROM seconds WHERE number = 1)",
        "UPDATE processes SET role = 'mole' WHERE seq <= (SELECT records FROM seconds WHERE number = 1)",
        "UPDATE verdicts SET share = 'all' WHERE seq = 1",
        "UPDATE seconds SET first_ns = 1 WHERE number = 1",
        "UPDATE seconds SET last_ns = NULL WHERE number = 1",
        "UPDATE seconds SET records = records + 1 WHERE number = 1",
        "UPDATE seconds SET records = -1 WHERE number = 1",
        "UPDATE seconds SET records = 1 << 62 WHERE number = 1",
        "UPDATE seconds SET verdicts = 1 << 62 WHERE number = 1",
        "UPDATE seconds SET first_seq = -(1 << 62) WHERE number = 1",
        "UPDATE seconds SET first_seq = 'x' WHERE number = 1",
        "DELETE FROM dense WHERE second = 1",
        "UPDATE dense SET packed = x'' WHERE second = 1",
        "UPDATE dense SET packed = 'text' WHERE second = 1",
        "UPDATE dense SET packed = x'00112233' WHERE second = 1",
        "UPDATE dense SET packed = CAST(packed || x'00' AS BLOB) WHERE second = 1",
    ],
)
def test_what_is_not_of_its_type_or_not_whole_is_left_out(path, change):
    try:
        _forge(path, change, reseal=(1,))
    except (TypeError, OverflowError, sqlite3.Error):
        _forge(path, change)  # no checksum could be made for it
    _left_out(path)


def _blobs():
    loss = Loss(1, "p", 2, "r")
    deep = b"\x91" * MEBIBYTE + b"\xc0"
    wait = (10**9, 5, 3, "nowhere", None, None, None, None)
    call = (1, None, None, 2, 3, 4, "a:1", "b:2", 7, 8, "telepathy", "GET /", 1, 2)
    culprit = (9, "GET", "/block", "long", 1, 1)
    return {
        "parts of a request that is not there": _dense(parts=[(999, (), ())]),
        "a record in the place of another": _dense(records=[(1, msgspec.Raw(encode(loss)))]),
        "an unknown bucket": _dense(parts=[(2, (), (wait,))]),
        "calls of an unknown protocol": _dense(parts=[(2, (), (), ((), ()), (), (call,))]),
        "a call that says too little": _dense(parts=[(2, (), (), ((), ()), (), (call[:9],))]),
        "a culprit without figures": _dense(parts=[(2, (), (), ((), ()), (), (), 0, (culprit,))]),
        "a record of no kind": _dense(records=[(4, ("nonsense", 1))]),
        "nothing": zlib.compress(b""),
        "no msgpack": zlib.compress(b"\xc1" * 100),
        "text that is not UTF-8": zlib.compress(b"\x93\x90\x91\x92\x04\x95\xa4loss\x01\xa1\xff\x01\xa1r\x90"),
        "a deep nest": zlib.compress(deep),
        "a stream that is cut": _dense(records=[(4, loss)])[:-4],
        "more than there may be": zlib.compress(b"\x00" * (layout.MAX_SECOND_BYTES + 1)),
    }


@pytest.mark.parametrize("what", _blobs())
def test_a_forged_blob_is_left_out(path, what):
    _forge(path, ("UPDATE dense SET packed = ? WHERE second = 1", (_blobs()[what],)), reseal=(1,))
    _left_out(path)


def test_a_bomb_does_not_fill_the_memory(path):
    bomb = zlib.compress(b"\x90" * (256 * MEBIBYTE), 1)
    _forge(path, ("UPDATE dense SET packed = ? WHERE second = 1", (bomb,)), reseal=(1,))
    del bomb
    tracemalloc.start()
    try:
        _left_out(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * MEBIBYTE


def test_a_row_that_is_too_long_is_left_out(path):
    _forge(
        path,
        (
            "UPDATE requests SET target = ? WHERE seq <= (SELECT records FROM seconds WHERE number = 1)",
            ("x" * (20 * MEBIBYTE),),
        ),
        reseal=(1,),
    )
    _left_out(path)


def test_rows_that_are_too_long_together_are_left_out(path):
    _forge(
        path,
        (
            "UPDATE requests SET target = ? WHERE seq <= (SELECT records FROM seconds WHERE number = 1)",
            ("x" * (5 * MEBIBYTE),),
        ),
        reseal=(1,),
    )
    _left_out(path)
