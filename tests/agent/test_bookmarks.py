"""Bookmarks are kept beside their session, and nobody can make perfwatch read or write elsewhere with them."""

import os
import stat

import msgspec
import pytest

from perfwatch.agent import bookmarks as module
from perfwatch.agent.bookmarks import Bookmark, Bookmarks, beside
from perfwatch.agent.errors import PerfwatchError


@pytest.fixture
def session(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path / "s.perfwatch"


def test_they_are_kept_in_order_and_private(session):
    bookmarks = Bookmarks(session)
    bookmarks.add(20, "later")
    bookmarks.add(10, "[bold]é")
    again = Bookmarks(session)
    assert again.all == (Bookmark(10, "[bold]é"), Bookmark(20, "later")) == bookmarks.all
    assert stat.S_IMODE(beside(session).stat().st_mode) == 0o600
    again.remove(Bookmark(10, "[bold]é"))
    assert Bookmarks(session).all == (Bookmark(20, "later"),)


def test_without_a_session_they_are_only_remembered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bookmarks = Bookmarks(None)
    bookmarks.add(10, "here")
    assert bookmarks.all == (Bookmark(10, "here"),)
    assert not list(tmp_path.iterdir())


def test_both_their_number_and_their_notes_are_bounded(session, monkeypatch):
    monkeypatch.setattr(module, "MAX_BOOKMARKS", 2)
    bookmarks = Bookmarks(session)
    for at_ns in range(2):
        bookmarks.add(at_ns, "x" * 1000)
    with pytest.raises(PerfwatchError, match="2 bookmarks already"):
        bookmarks.add(3, "")
    assert [len(one.note) for one in Bookmarks(session).all] == [200, 200]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[1]",
        b'[{"at_ns": "x", "note": ""}]',
        b'[{"at_ns": 1e999, "note": ""}]',
        b'[{"at_ns": 9223372036854775807, "note": ""}]',
        b"[" * 100_000,
        b"\xff\xfe",
        b" " * (module.MAX_BYTES + 1),
    ],
    ids=lambda data: repr(data[:30]),
)
def test_what_are_no_bookmarks_is_refused(session, data):
    beside(session).write_bytes(data)
    with pytest.raises(PerfwatchError, match="no file of bookmarks"):
        Bookmarks(session)


def test_no_link_no_pipe_and_no_directory_is_read(session, tmp_path):
    (tmp_path / "secret").write_bytes(msgspec.json.encode([Bookmark(1, "secret")]))
    beside(session).symlink_to(tmp_path / "secret")
    with pytest.raises(PerfwatchError, match="cannot read the bookmarks"):
        Bookmarks(session)
    beside(session).unlink()
    os.mkfifo(beside(session))
    with pytest.raises(PerfwatchError, match="no file of bookmarks"):
        Bookmarks(session)
    beside(session).unlink()
    beside(session).mkdir()
    with pytest.raises(PerfwatchError, match="no file of bookmarks"):
        Bookmarks(session)


def test_no_link_is_written_through(session, tmp_path):
    bookmarks = Bookmarks(session)
    (tmp_path / "other").write_text("mine")
    beside(session).symlink_to(tmp_path / "other")
    with pytest.raises(PerfwatchError, match="not a regular file"):
        bookmarks.add(1, "x")
    assert (tmp_path / "other").read_text() == "mine"


def test_where_others_could_meddle_nothing_is_written(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(PerfwatchError, match="others can write"):
        Bookmarks(shared / "s").add(1, "x")
    assert not list(shared.iterdir())
