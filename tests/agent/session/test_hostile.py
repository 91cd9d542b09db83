"""Files that somebody forged: all checksums are right, and what they guard is wrong."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import tracemalloc
import zlib

import msgspec
import pytest
from sessions import INFO, LEDGER, START_NS, read, record_session, request, second_of

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session import format as layout
from perfwatch.agent.session.reader import SessionReader
from perfwatch.probes.records import Loss, encode

MEBIBYTE = 1 << 20


@pytest.fixture
def path(tmp_path):
    record_session(tmp_path / "s", 3)
    return tmp_path / "s"


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
    rows = []
    for table in layout.CURRENT.checked:
        first, count = head[3:5] if table is layout.VERDICT_TABLE else head[1:3]
        select = f"SELECT * FROM {table.name} WHERE seq BETWEEN ? AND ? ORDER BY seq"
        rows += db.execute(select, (first, first + count - 1)).fetchall()
    blob = db.execute("SELECT packed FROM dense WHERE second = ?", (number,)).fetchone()
    return zlib.crc32(blob[0] if blob else b"", layout.checksum([head, *rows]))


def _dense(*, parts=(), records=(), verdicts=()):
    return zlib.compress(msgspec.msgpack.encode((parts, records, verdicts)))


def _left_out(path, count=1):
    with SessionReader(path) as reader:
        records = list(reader.records())
        assert reader.note == f"{count} of 3 seconds are damaged and left out"
    return records


def test_the_forger_can_make_a_sound_session(path):
    _forge(path, "UPDATE losses SET lost = 77", reseal=(1, 2, 3))
    assert {record.lost for record in read(path) if isinstance(record, Loss)} == {77}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE requests SET pid = 'root' WHERE seq < 10",
        "UPDATE requests SET target = x'ff' WHERE seq < 10",
        "UPDATE requests SET lock_ns = 1.5 WHERE seq < 10",
        "UPDATE requests SET outcome = 'fine' WHERE seq < 10",
        "UPDATE processes SET role = 'mole' WHERE seq < 10",
        "UPDATE verdicts SET share = 'all' WHERE seq = 1",
        "UPDATE pressure SET scope = x'ff' WHERE seq < 14",
        "UPDATE pressure SET cpu_some_ns = 'much' WHERE seq < 14",
        "UPDATE connections SET resumed = 2 WHERE seq < 14",
        "UPDATE connections SET reset = 'no' WHERE seq < 14",
        "UPDATE connections SET reset = 0.5 WHERE seq < 14",
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
    assert _left_out(path) == second_of(1) + second_of(2)


def _blobs():
    short = msgspec.structs.replace(request(1, START_NS), booked_ns=LEDGER[:-1])
    deep = b"\x91" * MEBIBYTE + b"\xc0"
    wait = (START_NS, 5, 3, "nowhere", None, None, None, None)
    call = (1, None, None, 2, 3, 4, "a:1", "b:2", 7, 8, "telepathy", "GET /", 1, 2)
    culprit = (9, "GET", "/block", "long", 1, 1)
    return {
        "a ledger with a bucket too few": _dense(records=[(4, short)]),
        "parts of a request that is not there": _dense(parts=[(999, (), ())]),
        "a record in the place of another": _dense(records=[(1, msgspec.Raw(encode(second_of(0)[-1])))]),
        "an unknown bucket": _dense(parts=[(2, (), (wait,))]),
        "calls of an unknown protocol": _dense(parts=[(2, (), (), ((), ()), (), (call,))]),
        "a call that says too little": _dense(parts=[(2, (), (), ((), ()), (), (call[:9],))]),
        "a culprit without figures": _dense(parts=[(2, (), (), ((), ()), (), (), 0, (culprit,))]),
        "a record of no kind": _dense(records=[(4, ("nonsense", 1))]),
        "nothing": zlib.compress(b""),
        "no msgpack": zlib.compress(b"\xc1" * 100),
        "text that is not UTF-8": zlib.compress(b"\x93\x90\x91\x92\x04\x95\xa4loss\x01\xa1\xff\x01\xa1r\x90"),
        "a deep nest": zlib.compress(deep),
        "a stream that is cut": _dense(records=[(4, short)])[:-4],
        "more than there may be": zlib.compress(b"\x00" * (layout.MAX_SECOND_BYTES + 1)),
    }


@pytest.mark.parametrize("what", _blobs())
def test_a_forged_blob_is_left_out(path, what):
    _forge(path, ("UPDATE dense SET packed = ? WHERE second = 1", (_blobs()[what],)), reseal=(1,))
    assert _left_out(path) == second_of(1) + second_of(2)


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
    _forge(path, ("UPDATE losses SET reason = ? WHERE seq < 11", ("x" * (20 * MEBIBYTE),)), reseal=(1,))
    assert _left_out(path) == second_of(1) + second_of(2)


def test_rows_that_are_too_long_together_are_left_out(path):
    _forge(path, ("UPDATE requests SET target = ? WHERE seq < 11", ("x" * (5 * MEBIBYTE),)), reseal=(1,))
    assert _left_out(path) == second_of(1) + second_of(2)


def test_no_record_is_delivered_twice(path):
    _forge(path, "UPDATE seconds SET first_seq = 1, first_ns = (SELECT first_ns FROM seconds WHERE number = 1), "
                 "last_ns = (SELECT last_ns FROM seconds WHERE number = 1) WHERE number = 2",
           "DELETE FROM dense", reseal=(1, 2, 3))  # fmt: skip
    _forge(path, "UPDATE seconds SET records = 3, last_ns = 5000000020 WHERE number < 3", reseal=(1, 2))
    with SessionReader(path) as reader:
        sequences = [record for record in reader.records() if record.at_ns < START_NS + 100]
        assert len(sequences) == len(set(map(repr, sequences)))
        assert "damaged" in reader.note


@pytest.mark.parametrize(
    "change",
    [
        "CREATE VIEW spy AS SELECT * FROM requests",
        "CREATE TRIGGER spy AFTER INSERT ON requests BEGIN DELETE FROM requests; END",
        "CREATE TABLE more (x)",
        "CREATE INDEX lying ON requests (pid)",
        "ALTER TABLE requests ADD COLUMN evil GENERATED ALWAYS AS (abs(-9223372036854775808)) VIRTUAL",
        "DROP TABLE losses",
        "ALTER TABLE losses RENAME TO gains",
    ],
)
def test_a_schema_that_is_not_ours_is_refused(path, change):
    _forge(path, change)
    with pytest.raises(PerfwatchError, match="its tables are not a session's"):
        SessionReader(path)


def test_a_view_in_the_place_of_a_table_is_refused(path):
    _forge(path, "DROP TABLE losses", "CREATE VIEW losses AS SELECT 1 AS seq")
    with pytest.raises(PerfwatchError, match="its tables are not a session's"):
        SessionReader(path)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE session SET value = '5' WHERE name = 'pid'",
        "DELETE FROM session",
        "DELETE FROM session WHERE name = 'crc32'",
        "INSERT INTO session VALUES ('pid', '7')",
        "UPDATE session SET value = x'ff' WHERE name = 'command'",
    ],
)
def test_what_a_session_says_of_itself_is_checked(path, change):
    _forge(path, change)
    with pytest.raises(PerfwatchError, match="what it says of itself cannot be trusted"):
        SessionReader(path)


@pytest.mark.parametrize("value", ['"many"', "[" * 100_000, '{"pid": 1', "null", ""])
def test_a_forged_description_is_refused(path, value):
    db = sqlite3.connect(path)
    db.execute("UPDATE session SET value = ? WHERE name = 'pid'", (value,))
    rows = db.execute("SELECT name, value FROM session WHERE name <> 'crc32' ORDER BY rowid").fetchall()
    db.execute("UPDATE session SET value = ? WHERE name = 'crc32'", (str(layout.checksum(rows)),))
    db.commit()
    db.close()
    with pytest.raises(PerfwatchError, match="what it says of itself cannot be trusted"):
        SessionReader(path)


def test_an_ending_that_does_not_match_is_not_believed(path):
    _forge(path, "UPDATE ending SET ended = 'all is well'")
    with SessionReader(path) as reader:
        assert (reader.finished, reader.ended) == (False, None)
        assert reader.note == "damaged: how it ended cannot be told"
        assert len(list(reader.records())) == 3 * len(second_of(0))


def test_numbers_out_of_this_world_cost_nothing(path):
    _forge(path, "UPDATE seconds SET number = (1 << 62) WHERE number = 3", "DELETE FROM ending")
    with SessionReader(path) as reader:
        assert list(reader.records()) == second_of(0) + second_of(1)
        assert reader.note.endswith("1 of 3 seconds are damaged and left out")


def test_damage_in_whole_pages_never_raises_anything_else(path):
    data = path.read_bytes()
    chance = random.Random(4)
    for _ in range(150):
        page = chance.randrange(len(data) // 4096)
        junk = chance.randbytes(4096) if chance.random() < 0.5 else data[:4096]
        path.write_bytes(data[: page * 4096] + junk + data[(page + 1) * 4096 :])
        try:
            with SessionReader(path) as reader:
                records = list(reader.records())
                assert reader.info == INFO
                assert len(records) == 3 * len(second_of(0)) or reader.note
                assert len(records) % len(second_of(0)) == 0
        except PerfwatchError:
            continue
