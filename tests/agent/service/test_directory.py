"""The directory is this user's own, whatever somebody else put there."""

from __future__ import annotations

import contextlib
import os
import stat

import pytest
import sessions

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.service.directory import Directory, remove


def test_it_is_made_private_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        with contextlib.closing(Directory(tmp_path / "r")) as directory, directory.alone():
            assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o700
            assert stat.S_IMODE((tmp_path / "r" / ".service").stat().st_mode) == 0o600
            assert (tmp_path / "r" / ".service").read_text() == f"{os.getpid()}\n"
    finally:
        os.umask(old)


def test_no_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(PerfwatchError, match="is not a directory"):
        Directory(tmp_path / "link")
    (tmp_path / "real" / ".service").symlink_to("/etc/passwd")
    with (
        contextlib.closing(Directory(tmp_path / "real")) as directory,
        pytest.raises(PerfwatchError),
        directory.alone(),
    ):
        pass
    sessions.record_session(tmp_path / "elsewhere.perfwatch", 1)
    (tmp_path / "real" / "x.perfwatch").symlink_to(tmp_path / "elsewhere.perfwatch")
    with contextlib.closing(Directory(tmp_path / "real")) as directory:
        assert directory.contents().segments == ()


@pytest.mark.parametrize("kind", ["file", "open", "none"])
def test_what_is_not_safe_to_record_into_is_refused(tmp_path, kind):
    path = tmp_path / "r"
    if kind == "file":
        path.write_text("")
    elif kind == "open":
        path.mkdir()
        path.chmod(0o777)
    else:
        path = tmp_path / "no" / "r"
    with pytest.raises(PerfwatchError) as refusal:
        Directory(path)
    assert refusal.value.remedy


def test_a_segment_is_removed_with_all_that_belongs_to_it_and_nothing_else(tmp_path):
    with contextlib.closing(Directory(tmp_path / "r")) as directory:
        for name in ("a", "b"):
            sessions.record_session(directory.path / f"{name}.perfwatch", 1)
        for suffix in ("-wal", "-shm", ".bookmarks.json"):
            (directory.path / f"a.perfwatch{suffix}").write_text("[]")
        (directory.path / "mine.txt").write_text("x" * 5000)
        contents = directory.contents()
        first = next(one for one in contents.segments if one.path.name == "a.perfwatch")
        assert first.size_bytes >= (directory.path / "a.perfwatch").stat().st_size + 3 * 4096
        assert contents.total_bytes > sum(one.size_bytes for one in contents.segments)
        assert not first.is_kept
        remove(first)
        assert {path.name for path in directory.path.iterdir()} == {"b.perfwatch", "mine.txt"}


def test_bookmarks_that_cannot_be_read_keep_a_segment(tmp_path):
    with contextlib.closing(Directory(tmp_path / "r")) as directory:
        sessions.record_session(directory.path / "a.perfwatch", 1)
        (directory.path / "a.perfwatch.bookmarks.json").write_text("garbage")
        assert [one.is_kept for one in directory.contents().segments] == [True]
