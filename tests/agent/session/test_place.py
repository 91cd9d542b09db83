from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from sessions import INFO, read, record_session, second_of

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session.writer import SessionWriter

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's part")


@contextlib.contextmanager
def as_user(uid):
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def public():
    """A directory that other users can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def _refused(path, **options):
    before = sorted(path.parent.iterdir()) if path.parent.is_dir() else None
    with pytest.raises(PerfwatchError) as refusal:
        SessionWriter(path, INFO, **options)
    if before is not None:
        assert sorted(path.parent.iterdir()) == before  # nothing is left behind
    return refusal.value


def test_a_session_and_its_siblings_are_private_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        with SessionWriter(tmp_path / "s", INFO):
            modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir()}
    finally:
        os.umask(old)
    assert modes == {"s": 0o600, "s-wal": 0o600, "s-shm": 0o600}


def test_an_existing_file_is_replaced_only_if_that_was_asked_for(tmp_path):
    (tmp_path / "s").write_text("precious")
    error = _refused(tmp_path / "s")
    assert (error.problem, error.remedy is not None) == (f"{tmp_path / 's'} exists already", True)
    assert (tmp_path / "s").read_text() == "precious"

    with SessionWriter(tmp_path / "s", INFO, overwrite=True):
        pass
    assert read(tmp_path / "s") == []


def test_a_left_over_wal_is_not_taken_for_part_of_a_new_session(tmp_path):
    (tmp_path / "s-wal").write_text("stale")
    assert _refused(tmp_path / "s").problem == f"{tmp_path / 's-wal'} exists already"
    with SessionWriter(tmp_path / "s", INFO, overwrite=True):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("name", ["s", "s-wal", "s-shm", "s-journal"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_no_symbolic_link_is_followed(tmp_path, name, overwrite):
    (tmp_path / "victim").write_text("precious")
    for target in ("victim", "nowhere"):
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).symlink_to(target)
        assert "not a regular file" in _refused(tmp_path / "s", overwrite=overwrite).problem
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_what_is_no_file_is_never_replaced(tmp_path, kind):
    (tmp_path / "s").mkdir() if kind == "directory" else os.mkfifo(tmp_path / "s")
    assert "not a regular file" in _refused(tmp_path / "s", overwrite=True).problem


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, 0o1775, 0o703])
def test_a_directory_that_others_can_write_to_is_refused(tmp_path, mode):
    shared = tmp_path / "shared"
    shared.mkdir()
    if os.geteuid() == 0:
        os.chown(shared, -1, 1)  # of a group that is not the owner's own
    shared.chmod(mode)
    error = _refused(shared / "s")
    assert error.problem == f"others can write to {shared} and could meddle with the recording"
    assert "home directory" in error.remedy


def test_a_private_directory_in_a_sticky_one_will_do_but_not_in_an_open_one(tmp_path):
    shared = tmp_path / "shared"
    own = shared / "own"
    own.mkdir(parents=True, mode=0o700)
    shared.chmod(0o1777)
    record_session(own / "s", 1)
    shared.chmod(0o777)
    assert str(shared) in _refused(own / "t").problem


def test_the_system_wide_temporary_directory_is_refused():
    assert stat.S_IMODE(Path("/tmp").stat().st_mode) == 0o1777
    assert "others can write to /tmp" in _refused(Path("/tmp/perfwatch-test-session")).problem


def test_a_group_that_is_the_owner_alone_may_write(tmp_path):
    tmp_path.chmod(0o770)
    with SessionWriter(tmp_path / "s", INFO):
        pass
    assert read(tmp_path / "s") == []


@root_only
def test_root_does_not_record_where_another_user_could_meddle(public, monkeypatch):
    monkeypatch.delenv("SUDO_UID", raising=False)
    os.chown(public, NOBODY, NOBODY)
    error = _refused(public / "s")
    assert error.problem == f"{public} belongs to nobody, who could meddle with it"

    monkeypatch.setenv("SUDO_UID", str(NOBODY))  # who called sudo could do as root does anyway
    with SessionWriter(public / "s", INFO):
        pass
    assert read(public / "s") == []


@root_only
def test_who_may_not_write_is_told(public):
    with as_user(NOBODY):
        error = _refused(public / "s")
    assert error.problem == f"cannot create {public / 's'}: Permission denied"


@root_only
def test_an_unprivileged_user_reads_what_he_may(public):
    record_session(public / "s", 3)
    with as_user(NOBODY), pytest.raises(PerfwatchError, match=r"cannot open .*Permission denied"):
        read(public / "s")
    (public / "s").chmod(0o644)
    with as_user(NOBODY):
        assert len(read(public / "s")) == 3 * len(second_of(0))
    assert [entry.name for entry in public.iterdir()] == ["s"]


def test_a_directory_that_is_not_there_is_said(tmp_path):
    assert _refused(tmp_path / "none" / "s").problem == (
        f"cannot record into {tmp_path / 'none'}: No such file or directory"
    )
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot record into" in _refused(tmp_path / "loop" / "s").problem
    assert "File name too long" in _refused(tmp_path / ("x" * 255)).problem


def test_odd_names_are_just_names(tmp_path):
    for name in ("a?mode=memory", "b#c", "d%41", "é ü", "e&cache=shared"):
        records = record_session(tmp_path / name, 1)
        assert read(tmp_path / name) == records
    assert len(list(tmp_path.iterdir())) == 5


def test_a_link_to_a_directory_and_to_a_session_may_be_used(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    records = record_session(tmp_path / "link" / "s", 1)
    (tmp_path / "short").symlink_to("real/s")
    assert read(tmp_path / "short") == records
    shutil.rmtree(tmp_path / "real")
