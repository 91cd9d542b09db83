"""CSV and Parquet: read back by Python's csv, by pandas and by pyarrow, and never a formula."""

import csv
import io

import asking
import exporting
import making as m
import pandas as pd
import pyarrow.parquet as pq
import pytest
import sessions
from hypothesis import given, settings
from hypothesis import strategies as st

from perfwatch.agent import open_session
from perfwatch.agent.model import BUCKETS
from perfwatch.probes.records import ServedRequest

TABLES = ("requests", "calls", "waits", "stacks")
EVIL = "=cmd|' /C calc'!A0", "+1", "-2", "@SUM(A1)", "\t=1", "\n=1", " =1", '","=1', "\uff1d1", "\x1b[2J", "\u202egnp"


@pytest.fixture
def shop(tmp_path):
    order = asking.asks(exporting.slow_order(1, 1000), asking.call(550, 290, connect=10), asking.refused(900, 5))
    return exporting.recorded(tmp_path / "shop.perfwatch", [one if one.id != 1 else order for one in exporting.shop()])


def lines(data):
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def made(path, name, table="requests"):
    ended = exporting.run(path, "--format", name, "--table", table)
    assert (ended.exit_code, ended.stderr) == (0, "")
    return ended.stdout_bytes


@pytest.mark.parametrize("table", TABLES)
def test_both_say_what_the_session_says_in_python(shop, table):
    with open_session(shop) as session:
        frame = session.frame(table)
    parquet = pq.read_table(io.BytesIO(made(shop, "parquet", table)))
    assert parquet.num_rows > 0
    pd.testing.assert_frame_equal(parquet.to_pandas(), frame, check_dtype=False)
    read = pd.read_csv(io.BytesIO(made(shop, "csv", table)))
    assert list(read.columns) == list(frame.columns)
    numbers = [column for column in frame.columns if frame[column].dtype.kind in "if"]
    assert numbers
    pd.testing.assert_frame_equal(read[numbers], frame[numbers], check_dtype=False)


def test_a_line_has_the_ledger_which_adds_up(shop):
    rows = lines(made(shop, "csv"))
    assert len(rows) == 18
    order = next(row for row in rows if row["target"] == "/order/2")
    assert (order["start"], order["method"], order["route"]) == ("2026-09-21T14:13:21.100000Z", "POST", "/order/{}")
    assert (float(order["lock_ms"]), order["mechanism"], order["status"], order["slow"]) == (
        450,
        "lock",
        "200",
        "false",
    )
    for row in rows:
        booked = sum(float(row[f"{bucket}_ms"]) for bucket in (*BUCKETS, "unaccounted"))
        assert booked == pytest.approx(float(row["latency_ms"]))
    assert next(row for row in rows if row["target"] == "/health")["mechanism"] == ""


def test_no_cell_is_a_formula_or_moves_a_cursor(tmp_path):
    records = [m.served(n, 100 * n, ms=30, method=evil, target=evil) for n, evil in enumerate(EVIL, 1)]
    data = made(exporting.recorded(tmp_path / "evil", records), "csv")
    rows = lines(data)
    assert len(rows) == len(EVIL)
    assert all(row["target"].lstrip()[:1] not in tuple("=+-@\uff1d") for row in rows)
    assert [row["target"] for row in rows][:2] == [f"'{EVIL[0]}", "'+1"]
    assert not {"\x1b", "\u202e", "\t"} & set(data.decode())
    parquet = pq.read_table(io.BytesIO(made(tmp_path / "evil", "parquet")))
    assert tuple(parquet["target"].to_pylist()) == EVIL


@settings(max_examples=20)
@given(st.lists(sessions._of(ServedRequest), min_size=1, max_size=4))
def test_whatever_a_recording_says(tmp_path_factory, records):
    path = exporting.recorded(tmp_path_factory.mktemp("any") / "session", records)
    for table in TABLES:
        parquet = pq.read_table(io.BytesIO(exporting.exported(path, "parquet", table)))
        assert len(lines(exporting.exported(path, "csv", table))) == parquet.num_rows


def test_wrong_usage(shop):
    assert exporting.run(shop, "--format", "collapsed", "--table", "calls").exit_code == 2
    assert exporting.run(shop, "--otlp", "http://localhost", "--table", "calls").exit_code == 2
    assert exporting.run(shop, "--format", "csv", "--table", "sql").exit_code == 2
