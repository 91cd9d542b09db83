from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import tempfile
import typing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sessions import ANY_RECORD, INFO, LEDGER, START_NS, judged, read, record_session, request, second_of

from perfwatch.agent.session import format as layout
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.stored import StoredVerdict
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.probes.records import InFlight, Loss, OpenRequest, Record

KINDS = (4, "2b4069d0", 33)
"""Number of the format, hash of their tags, how many."""


def test_a_finished_session_gives_back_all_that_was_recorded(tmp_path):
    records = record_session(tmp_path / "s", 5)

    with SessionReader(tmp_path / "s") as reader:
        assert list(reader.records()) == records
        assert reader.info == INFO
        assert (reader.finished, reader.ended, reader.note) == (True, "the time was over", None)
        assert (reader.first_ns, reader.last_ns) == (records[0].at_ns, records[-1].at_ns)
    assert [entry.name for entry in tmp_path.iterdir()] == ["s"]


@settings(max_examples=200)
@given(seconds=st.lists(st.lists(ANY_RECORD, max_size=8), max_size=4))
def test_any_records_come_back_equal_and_in_order(seconds: list[list[Record]]):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "s")
        with SessionWriter(path, INFO) as writer:
            for batch in seconds:
                for record in batch:
                    writer.write(record)
                writer.commit()
        with SessionReader(path) as reader:
            assert list(reader.records()) == [record for batch in seconds for record in batch]
            assert reader.note is None


@settings(max_examples=50)
@given(data=st.data(), at=st.lists(st.integers(0, 50), min_size=1, max_size=12))
def test_reading_from_a_moment_on_leaves_out_only_what_is_earlier(data, at):
    start = data.draw(st.integers(-1, 60))
    records = [Loss(at_ns, "p", i, "r") for i, at_ns in enumerate(at)]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "s")
        with SessionWriter(path, INFO) as writer:
            for record in records:
                writer.write(record)
                writer.commit()
        with SessionReader(path) as reader:
            found = list(reader.records(start))
    first = next((i for i, record in enumerate(records) if record.at_ns >= start), len(records))
    assert found == [record for record in records[first:] if record.at_ns >= start]


def test_verdicts_come_back_in_the_order_in_which_they_were_given(tmp_path):
    requests = [request(i, START_NS + i) for i in (3, 1, 2, 1)]
    with SessionWriter(tmp_path / "s", INFO) as writer:
        for each in requests:
            writer.write_verdict(judged(each))
            writer.commit()
        writer.write_verdict(msgspec.structs.replace(judged(requests[0]), verdict=None))

    with SessionReader(tmp_path / "s") as reader:
        assert list(reader.verdicts()) == [StoredVerdict.of(r.id, judged(r).verdict) for r in requests]
        assert (list(reader.records()), reader.note) == ([], None)
        assert reader.first_ns == reader.last_ns == INFO.started_ns


@pytest.mark.parametrize("share", [-0.0, 1, 2.0, 1 / 3, float("inf")])
def test_a_share_comes_back_exactly(tmp_path, share):
    one = judged(request(1 << 63, START_NS))
    verdict = msgspec.structs.replace(one.verdict, share=share)
    with SessionWriter(tmp_path / "s", INFO) as writer:
        writer.write_verdict(msgspec.structs.replace(one, verdict=verdict))
    with SessionReader(tmp_path / "s") as reader:
        (found,) = reader.verdicts()
    assert (repr(found.share), found.request_id) == (repr(float(share)), 1 << 63)


def test_what_a_session_says_of_itself_is_plain_sql(tmp_path):
    records = record_session(tmp_path / "s", 3)
    with contextlib.closing(sqlite3.connect(tmp_path / "s")) as db:
        said = dict(db.execute("SELECT name, value FROM session").fetchall())
        seconds = db.execute("SELECT sum(records), min(first_ns), max(last_ns) FROM seconds").fetchone()
        (check,) = db.execute("PRAGMA integrity_check").fetchone()
        (mode,) = db.execute("PRAGMA journal_mode").fetchone()
    assert (said["pid"], said["hostname"]) == ("4312", '"host"')
    assert seconds == (len(records), records[0].at_ns, records[-1].at_ns)
    assert (check, mode) == ("ok", "delete")


def test_any_kind_of_record_is_known_to_the_format_by_its_number():
    """A new kind of record needs a new number: a reader that does not know it must say so, not call it damage."""
    kinds = sorted(kind.__struct_config__.tag for kind in typing.get_args(Record))
    assert (layout.VERSION, hashlib.sha256(" ".join(kinds).encode()).hexdigest()[:8], len(kinds)) == KINDS


def test_the_schema_changes_only_with_its_number():
    hashes = {
        version: hashlib.sha256("\n".join(table.ddl for table in known.tables).encode()).hexdigest()[:16]
        for version, known in layout.FORMATS.items()
    }
    assert hashes == {1: "8a3371127b1eda06", 2: "d3838d5b90e719aa", 3: "74e77d1dbc795ec7", 4: "ea21472f3ed89991"}


def test_a_record_that_breaks_its_contract_is_not_taken(tmp_path):
    good = request(1, START_NS)
    short = msgspec.structs.replace(good, booked_ns=LEDGER[:-1])
    open_one = OpenRequest(1, 2, 3, None, 4, None, None, (), "lock", 5, None, None, None, "l")
    with SessionWriter(tmp_path / "s", INFO) as writer:
        for bad in (short, InFlight(1, 1, (open_one,)), Loss(1, "p", 2, "x" * layout.MAX_RECORD_BYTES)):
            with pytest.raises(ValueError, match=r"buckets|bytes"):
                writer.write(bad)
        writer.write(good)
    assert read(tmp_path / "s") == [good]


def test_a_second_that_grows_too_large_is_committed_in_parts(tmp_path):
    records = [Loss(i, "p", i, "x" * (layout.MAX_RECORD_BYTES // 2)) for i in range(12)]
    with SessionWriter(tmp_path / "s", INFO) as writer:
        for record in records:
            writer.write(record)
    assert read(tmp_path / "s") == records
    db = sqlite3.connect(tmp_path / "s")
    assert db.execute("SELECT count(*) FROM seconds").fetchone() == (12,)
    db.close()


def test_the_size_is_that_of_the_file(tmp_path):
    with SessionWriter(tmp_path / "s", INFO) as writer:
        empty = writer.bytes_written
        for number in range(40):
            for record in second_of(number):
                writer.write(record)
        writer.commit()
        assert writer.bytes_written > empty
    assert writer.bytes_written == (tmp_path / "s").stat().st_size


def test_how_a_recording_ended_is_kept(tmp_path):
    for name, error in (("ok", None), ("bad", KeyError("x"))):
        try:
            with SessionWriter(tmp_path / name, INFO) as writer:
                writer.write(Loss(1, "p", 2, "r"))
                if error:
                    raise error
        except KeyError:
            pass
    with SessionReader(tmp_path / "ok") as ok, SessionReader(tmp_path / "bad") as bad:
        assert (ok.ended, bad.ended) == ("the recorder ended", "the recorder failed (KeyError)")
        assert list(bad.records()) == list(ok.records()) != []


def test_an_interrupt_that_hides_a_commit_costs_nothing(tmp_path):
    writer = SessionWriter(tmp_path / "s", INFO)
    writer.write(Loss(1, "p", 2, "first"))
    hidden = writer._filling
    writer.commit()
    writer._filling = hidden  # as if the signal had come between the commit and the next second
    writer.write(Loss(2, "p", 2, "second"))
    writer.close("over")
    writer.close("again")
    assert [record.reason for record in read(tmp_path / "s")] == ["first", "second"]
