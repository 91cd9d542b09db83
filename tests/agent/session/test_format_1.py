"""A recording of format 1, made by a perfwatch that wrote no other, reads as it did."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from recording import PERFWATCH, SPARE_S, report_on

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.replay import Replay
from perfwatch.agent.report import build, correlate
from perfwatch.agent.report_build_recorded import with_recorded
from perfwatch.agent.session.reader import SessionReader
from perfwatch.probes.records import BUCKETS, ProcessSample, ServedRequest

FILE = Path(__file__).parents[2] / "fixtures" / "sessions" / "format-1-linux-6.18.session"


def rows(select):
    with contextlib.closing(sqlite3.connect(f"file:{FILE}?mode=ro&immutable=1", uri=True)) as db:
        return db.execute(select).fetchall()


def test_it_is_a_recording_of_format_1():
    assert rows("PRAGMA user_version") == [(1,)]


def test_all_records_come_back():
    with SessionReader(FILE) as reader:
        records = list(reader.records())
        assert (reader.finished, reader.note) == (True, None)
        assert (reader.info.command, reader.info.fidelity) == ("python faulty.py 45975", "exact")
        assert [probe.name for probe in reader.info.probes] == ["ledger", "host"]
    kinds = Counter(record.__struct_config__.tag for record in records)
    assert kinds == {"request": 55, "process": 8, "in_flight": 9, "host": 4, "target": 1, "listener": 1}
    buckets = ", ".join(f"{bucket}_ns" for bucket in BUCKETS)
    served = [record for record in records if isinstance(record, ServedRequest)]
    assert rows(f"SELECT id, started_ns, target, waits_lost, {buckets} FROM requests ORDER BY seq") == [
        (record.id, record.started_ns, record.target, record.waits_lost, *record.booked_ns) for record in served
    ]
    assert sum(len(record.waits) for record in served) > 30


def test_what_it_does_not_hold_is_not_known():
    with SessionReader(FILE) as reader:
        records = list(reader.records())
    assert {(r.throttled_ns, r.fidelity) for r in records if isinstance(r, ServedRequest)} == {(0, "exact")}
    assert {r.open_files for r in records if isinstance(r, ProcessSample)} == {None}


def test_its_verdicts_are_still_reached():
    with SessionReader(FILE) as reader:
        live = list(reader.verdicts())
        _, judged = correlate(reader.info, reader.records())
    assert len(live) == 31
    assert [(each.request_id, each.principle, each.mechanism) for each in live] == [
        (each.record.id, each.verdict.principle, each.verdict.mechanism) for each in judged
    ]


def test_it_can_be_reported_and_replayed():
    report = report_on(FILE)
    assert report["requests"]["count"] == 55
    assert [(each["route"], each["count"]) for each in report["endpoints"]] == [
        ("/sleep/{}", 13),
        ("/cpu/{}", 15),
        ("/fast/{}", 27),
    ]
    ended = subprocess.run([PERFWATCH, "report", FILE], capture_output=True, text=True, timeout=SPARE_S)
    assert ended.returncode == 0
    source = Replay(FILE, speed=1000)
    try:
        records = 0
        while not (batch := source.pull(1)).ended:
            records += len(batch.records)
    finally:
        source.close()
    assert records + len(batch.records) == 78


def test_what_was_said_live_is_told_beside_what_is_said_today():
    with SessionReader(FILE) as reader:
        live = {each.request_id: each for each in reader.verdicts()}
    recorded = {each["id"]: each["recorded"] for each in report_on(FILE)["slow_requests"]}
    assert recorded.keys() == live.keys()
    for number, told in recorded.items():
        before = live[number]
        assert (told["principle"], told["mechanism"]) == (before.principle, before.mechanism)
        assert (told["share"], told["confidence"], told["summary"]) == (before.share, before.confidence, before.summary)


def test_verdicts_of_other_rules_are_counted():
    """A file whose verdicts name a mechanism of another version reads, and the report says how many are others now."""
    with SessionReader(FILE) as reader:
        view, judged = correlate(reader.info, reader.records())
        live = list(reader.verdicts())
        made = build(reader.info, view, judged)
    assert with_recorded(made, live).notes == made.notes
    older = with_recorded(made, [msgspec.structs.replace(one, mechanism="waiting") for one in live])
    assert {one.recorded.mechanism for one in older.slow_requests} == {"waiting"}
    [note] = older.notes
    assert note.startswith("of 31 recorded verdicts 31 would be another by the rules of today")


def test_its_number_does_not_fit_another_schema(tmp_path):
    """Neither the tables of format 2 in a file of format 1, nor the other way round."""
    copy = tmp_path / "s"
    shutil.copy(FILE, copy)
    with contextlib.closing(sqlite3.connect(copy)) as db:
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(PerfwatchError, match="its tables are not a session's"):
        SessionReader(copy)
