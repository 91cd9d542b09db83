"""Calls and culprits in a session: they come back as they were, and the largest request that there may be has room."""

import sqlite3

import asking as a
import making as m
import msgspec
import pytest
from sessions import INFO, read

from perfwatch.agent.session.format import MAX_RECORD_BYTES
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.probes.records import MAX_CALLS, MAX_OPERATION_CHARS, MAX_TARGET_CHARS, encode

WIDEST = "\U0001f40d"
"""Four bytes of UTF-8."""


def recorded(path, *records):
    with SessionWriter(path, INFO) as writer:
        for record in records:
            writer.write(record)
        writer.commit()
        writer.close("the time was over")


def called(number):
    calls = (a.call(number, 3, connect=1, tls=1), a.refused(number, 2), a.call(number, 1, kind="publish"))
    culprits = (a.culprit(number + 1, 58), a.culprit(None, 4, None, None))
    record = a.asks(m.served(number, number, ms=9), *calls, calls_lost=number, culprits=culprits)
    return msgspec.structs.replace(record, threads="followed")


def largest():
    """A request with as many calls as are kept, each with the longest operation and addresses."""
    call = a.call(
        0, 1, connect=1, tls=1, operation=WIDEST * MAX_OPERATION_CHARS, peer="unix:" + WIDEST * 108, stack=1 << 31
    )
    call = msgspec.structs.replace(call, local="unix:" + WIDEST * 108, connection=(1 << 64) - 1)
    culprits = [a.culprit(n, 5, "/" + WIDEST * MAX_TARGET_CHARS) for n in range(8)]
    return a.asks(m.served(1, 100, ms=90), *[call] * MAX_CALLS, culprits=tuple(culprits))


def _quick(number, place):
    local = f"10.0.3.9:{50_000 + number % 40}"
    return a.call(number + 0.1 * place, 0.3 + number * 613 % 997 / 1000, transfer=number * 31 % 101 / 1000, local=local)


def test_calls_and_culprits_come_back_as_they_were(tmp_path):
    records = [called(number) for number in range(1, 9)]
    recorded(tmp_path / "s", *records)
    assert read(tmp_path / "s") == records


def test_the_request_with_the_most_calls_has_room(tmp_path):
    record = largest()
    assert len(encode(record)) < MAX_RECORD_BYTES / 2
    recorded(tmp_path / "s", *[record] * 30)
    assert read(tmp_path / "s") == [record] * 30
    with SessionReader(tmp_path / "s") as reader:
        assert list(reader.records())
        assert reader.note is None


def test_a_call_costs_few_bytes_on_the_disk(tmp_path):
    def size(calls_each):
        path = tmp_path / str(calls_each)
        requests = [m.served(n, n, ms=3) for n in range(1000)]
        calls = [[_quick(n, k) for k in range(calls_each)] for n in range(1000)]
        recorded(path, *(a.asks(request, *made) for request, made in zip(requests, calls, strict=True)))
        with sqlite3.connect(path) as db:
            [(packed,)] = db.execute("SELECT sum(length(packed)) FROM packed").fetchall()
        db.close()
        return packed or 0

    assert size(3) - size(0) < 3000 * 45


def test_a_request_that_is_too_long_is_refused_and_harms_nothing(tmp_path):
    record = a.asks(m.served(1, 100, ms=90), a.call(0, 1, operation="x" * MAX_RECORD_BYTES))
    with SessionWriter(tmp_path / "s", INFO) as writer:
        with pytest.raises(ValueError, match="a session takes up to"):
            writer.write(record)
        writer.write(called(1))
        writer.commit()
        writer.close("the time was over")
    assert read(tmp_path / "s") == [called(1)]
