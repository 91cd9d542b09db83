"""A stretch of a stream becomes a session of its own: the same records, the same verdicts, at the same moments."""

import stat

import pytest
from fake_records import SECOND, generate, session_info
from fakes import FakeSource

from perfwatch.agent import saving
from perfwatch.agent.bookmarks import Bookmark, Bookmarks
from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.playing import Window
from perfwatch.agent.replay import Replay
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.source import Position

RECORDS = generate(20)
FIRST = RECORDS[0].at_ns
WINDOW = Window(FIRST + 5 * SECOND, FIRST + 15 * SECOND)
WITHIN = [record for record in RECORDS if WINDOW.begin_ns <= record.at_ns <= WINDOW.end_ns]


@pytest.fixture
def path(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path / "cut.perfwatch"


def test_what_was_saved_is_a_session(path):
    source = FakeSource(RECORDS)
    assert saving.save(source, WINDOW, path) == len(WITHIN)
    correlator = Correlator(session_info())
    judged = [request for record in WITHIN for request in correlator.feed(record)]
    with SessionReader(path) as reader:
        assert list(reader.records()) == WITHIN
        assert reader.info == source.info
        assert reader.ended == "it was saved from a longer stream"
        assert [one.request_id for one in reader.verdicts()] == [request.record.id for request in judged]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_part_of_a_recording_can_be_saved_again(path, tmp_path):
    saving.save(FakeSource(RECORDS), Window(FIRST, RECORDS[-1].at_ns), path)
    replay = Replay(path)
    try:
        assert saving.save(replay, WINDOW, tmp_path / "again") == len(WITHIN)
    finally:
        replay.close()
    with SessionReader(tmp_path / "again") as reader:
        assert list(reader.records()) == WITHIN


def test_its_bookmarks_go_with_it(path):
    marked = [Bookmark(FIRST, "before"), Bookmark(FIRST + 6 * SECOND, "within")]
    saving.save(FakeSource(RECORDS), WINDOW, path, marked)
    assert Bookmarks(path).all == (marked[1],)


def test_nothing_is_overwritten(path):
    path.write_text("mine")
    with pytest.raises(PerfwatchError, match="exists already"):
        saving.save(FakeSource(RECORDS), WINDOW, path)
    assert path.read_text() == "mine"


POSITION = Position("live", 300 * SECOND, 100 * SECOND, 400 * SECOND, paused=False, seekable=True, window=WINDOW)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("90s", (210, 300)),
        (" 1.5 M ", (210, 300)),
        ("5m", (100, 300)),
        ("1h", (100, 300)),
        ("all", (100, 400)),
    ],
)
def test_how_much_to_save(text, window):
    assert saving.parse(text, POSITION) == Window(*(second * SECOND for second in window))


def test_a_window_can_be_saved_where_there_is_one():
    assert saving.parse("window", POSITION) == WINDOW


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5m ago", "everything", "[bold]", "1e9s", "99999999s"])
def test_what_is_no_amount(text):
    assert saving.parse(text, POSITION) is None
