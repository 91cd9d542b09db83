"""Secrets that were planted into a real server: every output is searched for them, with and without --redact."""

import gzip
import sqlite3
from contextlib import closing
from typing import get_args

import pandas as pd
import planting
import pytest
from click.testing import CliRunner
from otlp_receiver import receiving
from planting import NAMED, NEVER, leaked
from tui_driving import opened, scenario, settled

from perfwatch.agent import PerfwatchError, open_session
from perfwatch.agent.analysis.request_columns import RowKind
from perfwatch.agent.cli import cli
from perfwatch.agent.commands.report import report
from perfwatch.agent.export.formats import FORMATS
from perfwatch.agent.replay import Replay
from perfwatch.agent.session.reader import SessionReader
from perfwatch.probes.records import encode

pytestmark = pytest.mark.ledger
PAGES = "1234567890"


@pytest.fixture(name="planted", scope="module")
def plant(tmp_path_factory):
    with planting.planted(tmp_path_factory.mktemp("planted")) as planted:
        yield planted


@pytest.fixture(name="redacted", scope="module")
def redact_session(planted, tmp_path_factory):
    out = tmp_path_factory.mktemp("shared") / "to-share"
    told("session", "redact", planted.file, "-o", out)
    return out


def bytes_of(file):
    """All that is in a session's files: as they are, and what is compressed in them."""
    yield from (part.read_bytes() for part in file.parent.glob(f"{file.name}*"))
    with SessionReader(file) as session:
        yield repr(session.info)
        yield from map(encode, session.records())
        yield from map(repr, session.verdicts())
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        yield from db.iterdump()


def told(*arguments):
    """What the command line prints."""
    ended = CliRunner().invoke(cli, [str(one) for one in arguments], catch_exceptions=False)
    assert ended.exit_code == 0, ended.stderr
    return ended.stdout


def reports_of(file, folder, *options):
    """Everything that is made of a recording by commands: text, ticket, JSON, page, trees, exports."""
    yield told("report", file, *options)
    yield told("report", file, "--markdown", "-", *options)
    yield told("report", file, "--json", *options)
    told("report", file, "--html", folder / "page", "--overwrite", *options)
    yield (folder / "page").read_bytes()
    for form in next(one.type.choices for one in report.params if one.name == "form"):
        yield told("report", file, "--tree", "--as", form, *options)
    for form, one in FORMATS.items():
        for table in get_args(RowKind) if one.has_rows else (None,):
            out = folder / "exported"
            rows = () if table is None else ("--table", table)
            told("export", file, "--format", form, *rows, "-o", out, "--overwrite", *options)
            yield unpacked(out)
    with receiving() as receiver:
        told("export", file, "--otlp", receiver.url, *options)
        assert receiver.spans
        assert receiver.points
        yield from (message.SerializeToString() for message in receiver.messages)


def unpacked(file):
    """What an export says, where it is compressed."""
    data = file.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    return pd.read_parquet(file).to_csv() if data.startswith(b"PAR1") else data


def frames_of(file, *, redact):
    """Every table that Python is given."""
    with open_session(file, redact=redact) as session:
        yield from (session.frame(name).to_csv() for name in session.frames)
        yield repr(session.view)


def test_what_was_planted_arrived(planted):
    """Without this, the other tests would prove nothing."""
    assert leaked(*bytes_of(planted.file)) == NAMED
    with open_session(planted.file) as session:
        assert session.view.slow_count > 10
        asked = {call.operation for _, call in session.calls()}
        assert "SELECT name FROM customers WHERE mail = ? AND id = ?" in asked
        assert any(operation.startswith("GET /account/") for operation in asked if operation)
        assert planted.address in repr(session.view)


def test_a_recording_never_holds_what_was_said(planted):
    live = list(planted.live.parent.iterdir())
    assert {one.name for one in live} >= {"record", "record-wal"}
    assert not leaked(*bytes_of(planted.live)) & NEVER
    assert not leaked(*bytes_of(planted.file)) & NEVER


def test_nothing_that_is_made_of_it_holds_what_was_said(planted, tmp_path):
    assert not leaked(*reports_of(planted.file, tmp_path)) & NEVER
    assert not leaked(*frames_of(planted.file, redact=False)) & NEVER


def test_redacted_outputs_name_nobody(planted, tmp_path):
    texts = [*reports_of(planted.file, tmp_path, "--redact"), *frames_of(planted.file, redact=True)]
    assert leaked(*texts) == set()
    assert not [text for text in texts if planted.address in str(text)]


def test_a_redacted_session_names_nobody_nor_does_what_is_made_of_it(planted, redacted, tmp_path):
    texts = [*bytes_of(redacted), *reports_of(redacted, tmp_path), *frames_of(redacted, redact=False)]
    assert leaked(*texts) == set()
    assert not [text for text in texts if planted.address in str(text)]
    assert redacted.stat().st_mode & 0o077 == 0


@scenario
async def test_screens_of_a_redacted_session_name_nobody(redacted):
    source = Replay(redacted)
    source.seek(source.info.started_ns + 4_000_000_000)
    source.pause(paused=True)
    pictures = []
    async with opened(source, size=(160, 50)) as pilot:
        for key in (*PAGES, "1", "enter", "t", "escape", "2", "enter", "d"):
            await pilot.press(key)
            await settled(pilot)
            pictures.append(pilot.app.export_screenshot())
    assert len(set(pictures)) > 8
    assert "orders.py" in "".join(pictures).replace("&#160;", " ")
    assert leaked(*pictures) == set()


def test_it_is_useful_still(planted, redacted):
    with open_session(planted.file) as plain, open_session(redacted) as shared:
        before = [(one.count, one.slow_count, one.verdict.mechanism, one.latency_ms) for one in plain.endpoints]
        after = [(one.count, one.slow_count, one.verdict.mechanism, one.latency_ms) for one in shared.endpoints]
        assert before == after
        assert {one.place for one in shared.endpoints} == {"/orders/{}", "/people/part-2", "/health"}
        code = {(frame.function, frame.file) for one in shared.endpoints for frame in one.frames}
        assert ("Database.query", "dir-1/orders.py") in code
        asked = {(call.peer.partition(":")[0], call.operation) for _, call in shared.calls()}
        assert ("peer-1", "SELECT name FROM customers WHERE mail = ? AND id = ?") in asked
        assert shared.info.hostname == "host-1"
        assert shared.info.command.startswith("python")


def test_a_word_that_was_asked_for_stays(planted):
    text = told("report", planted.file, "--redact", "--keep", "zqmary")
    assert leaked(text) == {"zqmary"}
    assert "/people/zqmary" in text


def test_the_recording_is_not_written_over(planted):
    with pytest.raises(PerfwatchError, match="is the recording itself"):
        told("session", "redact", planted.file, "-o", planted.file, "--overwrite")
