"""Files that somebody forged: all checksums are right, and what they guard is wrong."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import tracemalloc

import msgspec
import pytest
from sessions import INFO, read, record_session, second_of

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session import format as layout
from perfwatch.agent.session.columnar import Unpacking
from perfwatch.agent.session.compression import compress, decompress
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.second import checksum
from perfwatch.probes.records import Loss

MEBIBYTE = 1 << 20
PAGE = layout.PAGE_BYTES


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
            *head, crc, marks, clocks = db.execute("SELECT * FROM seconds WHERE number = ?", (number,)).fetchone()
            (blob,) = db.execute("SELECT packed FROM packed WHERE second = ?", (number,)).fetchone() or (b"",)
            crc = checksum((*head, marks, clocks), blob)
            db.execute("UPDATE seconds SET crc32 = ? WHERE number = ?", (crc, number))
        db.commit()


def _changed(path, change):
    """Change the columns of the first second, with a right checksum."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        (blob,) = db.execute("SELECT packed FROM packed WHERE second = 1").fetchone()
    packed = msgspec.msgpack.decode(decompress(blob, MEBIBYTE))
    change(packed)
    _put(path, compress(msgspec.msgpack.encode(packed)))


def _put(path, blob):
    _forge(path, ("UPDATE packed SET packed = ? WHERE second = 1", (blob,)), reseal=(1,))


def _left_out(path, count=1):
    with SessionReader(path) as reader:
        records = list(reader.records())
        assert reader.note == f"{count} of 3 seconds are damaged and left out"
    return records


def _records_of(packed, tag):
    """The records of one kind, laid out as they are."""
    place = packed[0].index(tag)
    rows = Unpacking(MEBIBYTE).column(packed[2][place], Unpacking(MEBIBYTE).numbers(packed[1], 13).count(place))
    packed[2][place] = ["p", [list(row) for row in rows]]
    return packed[2][place][1]


def _set(tag, field, value):
    def change(packed):
        for row in _records_of(packed, tag):
            row[field] = value

    return change


def test_the_forger_can_make_a_sound_session(path):
    _changed(path, _set("loss", 2, 77))
    assert [record.lost for record in read(path) if isinstance(record, Loss)] == [77, 3, 3]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE seconds SET first_ns = 1 WHERE number = 1",
        "UPDATE seconds SET last_ns = NULL WHERE number = 1",
        "UPDATE seconds SET records = records + 1 WHERE number = 1",
        "UPDATE seconds SET records = -1 WHERE number = 1",
        "UPDATE seconds SET records = 1 << 62 WHERE number = 1",
        "UPDATE seconds SET verdicts = 1 << 62 WHERE number = 1",
        "UPDATE seconds SET verdicts = verdicts + 1 WHERE number = 1",
        "UPDATE seconds SET first_seq = 'x' WHERE number = 1",
        "DELETE FROM packed WHERE second = 1",
        "UPDATE packed SET packed = x'' WHERE second = 1",
        "UPDATE packed SET packed = 'text' WHERE second = 1",
        "UPDATE packed SET packed = x'7800112233' WHERE second = 1",
        "UPDATE packed SET packed = CAST(packed || x'00' AS BLOB) WHERE second = 1",
        "UPDATE packed SET packed = CAST('z' || substr(packed, 2) AS BLOB) WHERE second = 1",
        "UPDATE packed SET packed = CAST('q' || substr(packed, 2) AS BLOB) WHERE second = 1",
    ],
)
def test_what_is_not_of_its_type_or_not_whole_is_left_out(path, change):
    try:
        _forge(path, change, reseal=(1,))
    except (TypeError, OverflowError, sqlite3.Error):
        _forge(path, change)  # no checksum could be made for it
    assert _left_out(path) == second_of(1) + second_of(2)


HUGE = ["c", 1]


@pytest.mark.parametrize(
    "change",
    [
        _set("request", 3, "root"),
        _set("request", 9, b"\xff"),
        _set("request", 11, [1.5] * 14),
        _set("request", 11, [1] * 13),
        _set("request", 12, [[1]]),
        _set("process", 2, "mole"),
        _set("loss", 0, 1),
        _set("in_flight", 2, [[1, 2]]),
        lambda packed: packed[0].__setitem__(0, "nonsense"),
        lambda packed: packed[0].__setitem__(0, packed[0][1]),
        lambda packed: packed[0].append("loss"),
        lambda packed: packed.__setitem__(1, ["p", [0] * 13]),
        lambda packed: packed.__setitem__(1, ["p", [99] * 13]),
        lambda packed: packed.__setitem__(1, ["p", ["x"] * 13]),
        lambda packed: packed.__setitem__(1, ["v", None, [0, 1, b"\x00" * 12]]),
        lambda packed: packed.__setitem__(1, ["v", None, [0, 3, b"\x00" * 39]]),
        lambda packed: packed.__setitem__(1, ["v", None, [1 << 63, 8, b"\xff" * 104]]),
        lambda packed: packed.__setitem__(1, ["d", 0, 5]),
        lambda packed: packed.__setitem__(1, ["r", 7, [0, 1, b"\x00" * 13]]),
        lambda packed: packed.__setitem__(1, ["u", ["p", [1]], 1, HUGE]),
        lambda packed: packed.__setitem__(1, ["u", HUGE, 1 << 40, HUGE]),
        lambda packed: packed.__setitem__(1, ["u", HUGE, -1, HUGE]),
        lambda packed: packed.__setitem__(1, ["o", ["c", -5], HUGE]),
        lambda packed: packed.__setitem__(1, ["o", ["c", 1 << 40], HUGE]),
        lambda packed: packed.__setitem__(1, ["l", ["c", 1 << 30], HUGE]),
        lambda packed: packed.__setitem__(1, ["l", ["c", -1], HUGE]),
        lambda packed: packed.__setitem__(1, ["t", []]),
        lambda packed: packed.__setitem__(1, []),
        lambda packed: packed[2].pop(),
        lambda packed: packed[2].__setitem__(0, ["p", [5] * 13]),
        lambda packed: packed.__setitem__(3, ["p", [["one", 2]]]),
        lambda packed: packed.pop(),
    ],
)
def test_forged_columns_are_left_out(path, change):
    _changed(path, change)
    assert _left_out(path) == second_of(1) + second_of(2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1" * 100,
        b"\x91" * MEBIBYTE + b"\xc0",
        b"\x94\x91\xa1\xff\x90\x90\x90",
        b"\x00" * (layout.MAX_PACKED_BYTES + 1),
    ],
    ids=["nothing", "no msgpack", "a deep nest", "text that is not UTF-8", "more than there may be"],
)
def test_a_forged_blob_is_left_out(path, data):
    _put(path, compress(data))
    assert _left_out(path) == second_of(1) + second_of(2)


@pytest.mark.parametrize("codec", ["lzma", "zlib"])
def test_a_bomb_does_not_fill_the_memory(path, monkeypatch, codec):
    if codec == "zlib":
        monkeypatch.setattr("perfwatch.agent.session.compression.lzma", None)
    bomb = compress(b"\x90" * (256 * MEBIBYTE))
    monkeypatch.undo()
    _put(path, bomb)
    del bomb
    tracemalloc.start()
    try:
        _left_out(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * MEBIBYTE


def test_no_record_is_delivered_twice(path):
    """A second that says it owns the records of the one before, and holds the same."""
    _forge(path, "UPDATE seconds SET first_seq = 1, first_ns = (SELECT first_ns FROM seconds WHERE number = 1), "
                 "last_ns = (SELECT last_ns FROM seconds WHERE number = 1) WHERE number = 2",
           "UPDATE packed SET packed = (SELECT packed FROM packed WHERE second = 1) WHERE second = 2",
           reseal=(1, 2, 3))  # fmt: skip
    assert _left_out(path) == second_of(0) + second_of(2)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE VIEW spy AS SELECT * FROM packed",
        "CREATE TRIGGER spy AFTER INSERT ON packed BEGIN DELETE FROM packed; END",
        "CREATE TABLE more (x)",
        "CREATE INDEX lying ON packed (second)",
        "ALTER TABLE packed ADD COLUMN evil GENERATED ALWAYS AS (abs(-9223372036854775808)) VIRTUAL",
        "DROP TABLE packed",
        "ALTER TABLE packed RENAME TO gains",
    ],
)
def test_a_schema_that_is_not_ours_is_refused(path, change):
    _forge(path, change)
    with pytest.raises(PerfwatchError, match="its tables are not a session's"):
        SessionReader(path)


def test_a_view_in_the_place_of_a_table_is_refused(path):
    _forge(path, "DROP TABLE packed", "CREATE VIEW packed AS SELECT 1 AS second")
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
        page = chance.randrange(len(data) // PAGE)
        junk = chance.randbytes(PAGE) if chance.random() < 0.5 else data[:PAGE]
        path.write_bytes(data[: page * PAGE] + junk + data[(page + 1) * PAGE :])
        try:
            with SessionReader(path) as reader:
                records = list(reader.records())
                assert reader.info == INFO
                assert len(records) == 3 * len(second_of(0)) or reader.note
                assert len(records) % len(second_of(0)) == 0
        except PerfwatchError:
            continue
