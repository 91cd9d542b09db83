"""Recordings of every format that there was, made by the perfwatch that wrote it: each reads as it did.

Those of format 1 have a file of their own. What is held against the reader is what SQL finds in the plain tables.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from recording import report_on

from perfwatch.agent.replay import Replay
from perfwatch.agent.report import correlate
from perfwatch.agent.session import format as layout
from perfwatch.agent.session.reader import SessionReader
from perfwatch.probes.records import BUCKETS, ServedRequest

FIXTURES = Path(__file__).parents[2] / "fixtures" / "sessions"


def file_of(version):
    return FIXTURES / f"format-{version}-linux-6.18.session"


def rows(version, select):
    with contextlib.closing(sqlite3.connect(f"file:{file_of(version)}?mode=ro&immutable=1", uri=True)) as db:
        return db.execute(select).fetchall()


def test_there_is_a_recording_of_every_format():
    assert {rows(version, "PRAGMA user_version")[0][0] for version in layout.FORMATS} == set(layout.FORMATS)
    assert sorted(FIXTURES.iterdir()) == sorted(map(file_of, layout.FORMATS))


@pytest.mark.parametrize("version", layout.FORMATS)
def test_it_opens_is_whole_and_is_judged_the_same(version):
    with SessionReader(file_of(version)) as reader:
        records, live = list(reader.records()), list(reader.verdicts())
        assert (reader.version, reader.finished, reader.note) == (version, True, None)
        view, judged = correlate(reader.info, records)
    assert rows(version, "SELECT records, verdicts FROM ending") == [(len(records), len(live))]
    assert view.count == len({record.id for record in records if isinstance(record, ServedRequest)})
    assert {each.request_id for each in live} <= {each.record.id for each in judged}


@pytest.mark.parametrize("version", [2, 3])
def test_what_sql_finds_in_its_tables_is_what_is_read(version):
    with SessionReader(file_of(version)) as reader:
        records = list(reader.records())
    kinds = Counter(type(record) for record in records)
    for kind, table in layout.FORMATS[version].record_tables.items():
        assert rows(version, f"SELECT count(*) FROM {table.name}") == [(kinds[kind],)]
    buckets = ", ".join(f"{bucket}_ns" for bucket in BUCKETS)
    served = [record for record in records if isinstance(record, ServedRequest)]
    assert rows(version, f"SELECT id, at_ns, target, gc_ns, fidelity, {buckets} FROM requests ORDER BY seq") == [
        (one.id, one.at_ns, one.target, one.gc_ns, one.fidelity, *one.booked_ns) for one in served
    ]
    assert any(one.code.stacks for one in served)
    assert any(one.waits for one in served)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_it_can_be_reported_and_replayed(version):
    report = report_on(file_of(version))
    assert {each["route"] for each in report["endpoints"]} >= {"/item/{}", "/order/{}", "/login", "/search"}
    source = Replay(file_of(version), speed=10_000)
    count = 0
    while True:
        batch = source.pull(1)
        count += len(batch.records)
        if batch.ended:
            break
    source.close()
    assert rows(version, "SELECT records FROM ending") == [(count,)]
