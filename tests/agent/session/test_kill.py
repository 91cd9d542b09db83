from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest
import sessions
from waiting import until

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session.reader import SessionReader


class _Recorder:
    """A recorder in a process of its own, and how many seconds it has said to be safe."""

    def __init__(self, path):
        command = [sys.executable, sessions.__file__, str(path)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.safe = 0

    def await_commit(self):
        self.safe = int(self.process.stdout.readline())

    def kill(self):
        self.process.kill()
        self.safe = max(self.safe, *map(int, ["0", *self.process.communicate()[0].split()]))
        return self.safe


def _check(path, safe):
    with SessionReader(path) as reader:
        records = list(reader.records())
        assert reader.note == "cut off: it was never finished, and its last second may be missing"
        assert (reader.finished, reader.ended, reader.info) == (False, None, sessions.INFO)
    length = len(sessions.second_of(0))
    seconds, rest = divmod(len(records), length)
    assert rest == 0
    assert safe <= seconds <= safe + 1
    assert records == [record for number in range(seconds) for record in sessions.second_of(number)]


@pytest.mark.parametrize("moment", range(20))
def test_a_killed_recorder_loses_at_most_its_last_second(tmp_path, moment):
    chance = random.Random(moment)
    recorder = _Recorder(tmp_path / "s")
    for _ in range(chance.randrange(1, 60)):
        recorder.await_commit()
    time.sleep(chance.uniform(0, 0.005))  # the moment lies anywhere in a second, also in a commit
    _check(tmp_path / "s", recorder.kill())


def test_a_recorder_killed_while_it_starts_leaves_no_half_a_file(tmp_path):
    chance = random.Random(0)
    opened = 0
    for moment in range(8):
        path = tmp_path / str(moment) / "s"
        path.parent.mkdir()
        recorder = _Recorder(path)
        until(lambda place=path.parent: any(place.iterdir()), pause_s=0.0005)  # it makes the file, whatever its name
        time.sleep(chance.uniform(0, 0.03))
        safe = recorder.kill()
        if path.exists():
            _check(path, safe)
            opened += 1
        else:
            with pytest.raises(PerfwatchError, match="No such file"):
                SessionReader(path)
    assert opened > 0


def test_what_a_killed_recorder_left_can_be_overwritten_but_is_not_by_default(tmp_path):
    recorder = _Recorder(tmp_path / "s")
    recorder.await_commit()
    recorder.kill()
    with pytest.raises(PerfwatchError, match=r"exists already .choose another name"):
        sessions.SessionWriter(tmp_path / "s", sessions.INFO)
    with sessions.SessionWriter(tmp_path / "s", sessions.INFO, overwrite=True):
        pass
    assert sessions.read(tmp_path / "s") == []
    assert [entry.name for entry in tmp_path.iterdir()] == ["s"]


def test_a_file_that_is_being_recorded_is_not_overwritten(tmp_path):
    recorder = _Recorder(tmp_path / "s")
    try:
        recorder.await_commit()
        with pytest.raises(PerfwatchError, match="being recorded by another perfwatch"):
            sessions.SessionWriter(tmp_path / "s", sessions.INFO, overwrite=True)
        recorder.await_commit()
    finally:
        safe = recorder.kill()
    _check(tmp_path / "s", safe)


def test_a_file_that_is_being_recorded_can_be_read(tmp_path):
    recorder = _Recorder(tmp_path / "s")
    try:
        for _ in range(5):
            recorder.await_commit()
        safe = recorder.safe
        with SessionReader(tmp_path / "s") as reader:
            records = list(reader.records())
            assert reader.note == "still being recorded: this is what it held when it was opened"
        assert len(records) >= safe * len(sessions.second_of(0))
        recorder.await_commit()
    finally:
        safe = recorder.kill()
    _check(tmp_path / "s", safe)
