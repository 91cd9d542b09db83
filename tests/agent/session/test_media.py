"""Sessions on a disk that is full, a medium that is read-only, and under the eyes of others."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys

import pytest
import sessions
from sessions import INFO, read, record_session, second_of

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.writer import SessionWriter

needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
CUT_OFF = "cut off: it was never finished, and its last second may be missing"


@contextlib.contextmanager
def _mounted(disk, size):
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.fixture
def small_disk(tmp_path):
    with _mounted(tmp_path / "disk", "512k") as disk:
        yield disk


@pytest.fixture
def medium(tmp_path):
    with _mounted(tmp_path / "medium", "64m") as disk:
        yield disk


def _fill(writer):
    """Record until the disk is full; returns what was acknowledged."""
    safe = []
    for number in range(10_000):
        batch = second_of(number)
        for record in batch:
            writer.write(record)
        try:
            writer.commit()
        except PerfwatchError as error:
            return safe, error
        safe += batch
    raise AssertionError("the disk never filled up")


@needs_mount
def test_a_full_disk_is_said_once_and_loses_nothing_that_was_safe(small_disk):
    with SessionWriter(small_disk / "s", INFO) as writer:
        safe, error = _fill(writer)
        writer.write(second_of(0)[0])
        writer.commit()
        writer.close("over")
    assert error.problem == f"the disk is full: nothing more can be recorded into {small_disk / 's'}"
    assert "free some space" in error.remedy
    with SessionReader(small_disk / "s") as reader:
        assert list(reader.records()) == safe
        assert (len(safe) > 100, reader.note) == (True, CUT_OFF)


@needs_mount
def test_a_disk_that_fills_up_at_the_end_keeps_what_was_safe(small_disk):
    writer = SessionWriter(small_disk / "s", INFO)
    safe = []
    for number in range(6):
        for record in (batch := second_of(number)):
            writer.write(record)
        writer.commit()
        safe += batch
    _take_the_rest(small_disk)
    with pytest.raises(PerfwatchError, match="disk is full"):
        writer.close("over")
    writer.close("again")
    assert read(small_disk / "s") == safe


def _take_the_rest(disk):
    with (disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while ballast.write(b"x" * 4096):
            pass


@needs_mount
def test_a_disk_without_room_for_a_session_is_left_as_it_was(small_disk):
    with (small_disk / "ballast").open("wb") as ballast:
        ballast.write(b"x" * 490_000)
    with pytest.raises(PerfwatchError, match=r"disk is full|No space"):
        SessionWriter(small_disk / "s", INFO)
    assert [entry.name for entry in small_disk.iterdir()] == ["ballast"]


@pytest.fixture
def killed(tmp_path):
    """What a killed recorder left: 20 seconds or more."""
    home = tmp_path / "home"
    home.mkdir()
    recorder = subprocess.Popen([sys.executable, sessions.__file__, str(home / "s")], stdout=subprocess.PIPE)
    while int(recorder.stdout.readline()) < 20:
        pass
    recorder.kill()
    recorder.communicate()
    return home


@needs_mount
@pytest.mark.parametrize("missing", ["", "-shm", "-wal"])
def test_a_session_on_a_read_only_medium_opens(medium, tmp_path, killed, missing):
    record_session(medium / "whole", 3)
    for entry in killed.iterdir():
        shutil.copy(entry, medium)
    if missing:
        (medium / f"s{missing}").unlink()
    subprocess.run(["mount", "-o", "remount,ro", medium], check=True)

    assert len(read(medium / "whole")) == 3 * len(second_of(0))
    with SessionReader(medium / "s") as reader:
        count, note = len(list(reader.records())), reader.note
    assert note == ("its newest part, in s-wal, cannot be read" if missing == "-shm" else CUT_OFF)
    assert count >= (0 if missing else 200)
    with pytest.raises(PerfwatchError, match="Read-only file system"):
        SessionWriter(medium / "new", INFO)


def test_reading_what_a_killed_recorder_left_changes_nothing(killed):
    before = {entry.name: entry.read_bytes() for entry in killed.iterdir()}
    assert len(read(killed / "s")) >= 200
    assert {entry.name: entry.read_bytes() for entry in killed.iterdir()} == before


def test_a_copy_with_its_wal_alone_is_complete(killed, tmp_path):
    records = read(killed / "s")
    shutil.copy(killed / "s", tmp_path)
    shutil.copy(killed / "s-wal", tmp_path)
    assert read(tmp_path / "s") == records


@pytest.mark.parametrize("name", ["s-wal", "s-shm"])
@pytest.mark.parametrize("kind", ["pipe", "link", "directory"])
def test_siblings_that_are_no_files_are_left_alone(killed, tmp_path, name, kind):
    (killed / name).rename(tmp_path / "aside")
    {"pipe": os.mkfifo, "link": lambda p: p.symlink_to("/dev/zero"), "directory": os.mkdir}[kind](killed / name)
    with SessionReader(killed / "s") as reader:
        list(reader.records())
        assert reader.note in {CUT_OFF, "its newest part, in s-wal, cannot be read"}


def test_a_recording_that_somebody_reads_while_it_ends_is_finished_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("perfwatch.agent.session.writer._LEAVE_PAUSE_S", 0.001)
    writer = SessionWriter(tmp_path / "s", INFO)
    for record in (batch := second_of(0)):
        writer.write(record)
    writer.commit()
    with SessionReader(tmp_path / "s") as early:
        assert list(early.records()) == batch
        for record in second_of(1):
            writer.write(record)
        writer.close("over")
        assert list(early.records()) == batch
    for sibling in ("s-wal", "s-shm"):
        (tmp_path / sibling).unlink(missing_ok=True)  # nothing is in them
    with SessionReader(tmp_path / "s") as late:
        assert list(late.records()) == batch + second_of(1)
        assert (late.finished, late.note) == (True, None)
