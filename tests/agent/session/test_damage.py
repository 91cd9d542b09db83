from __future__ import annotations

import os
import random
import socket
import sqlite3
import subprocess
import sys

import pytest
import sessions
from sessions import INFO, record_session, second_of

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session import format as layout
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.stored import StoredVerdict
from perfwatch.probes.records import ServedRequest


def _verdict(records):
    one = next(record for record in records if isinstance(record, ServedRequest))
    return StoredVerdict.of(one.id, sessions.judged(one).verdict)


def _examine(path, seconds, *, finished=True):
    """Read a file that may be damaged: it is refused, or what it gives is whole seconds, and it says if some lack."""
    try:
        reader = SessionReader(path)
    except PerfwatchError as refusal:
        return _plain(refusal)
    with reader:
        records, verdicts = list(reader.records()), list(reader.verdicts())
        note, info, ended = reader.note, reader.info, reader.ended
        first_ns, last_ns = reader.first_ns, reader.last_ns
    kept = []
    for batch in seconds:
        if records[: len(batch)] == batch:
            kept.append(batch)
            del records[: len(batch)]
    assert records == []
    assert verdicts == [_verdict(batch) for batch in kept]
    assert info == INFO
    assert ended == ("the time was over" if finished else None) or note
    if kept:
        assert (first_ns, last_ns) == (kept[0][0].at_ns, kept[-1][-1].at_ns)
    if kept == seconds:
        return "same"
    assert note
    return "less"


def _plain(refusal):
    assert str(refusal).isprintable()
    return "refused"


@pytest.fixture
def seconds(tmp_path):
    record_session(tmp_path / "whole", 12, requests=12)
    return [second_of(number, 12) for number in range(12)]


def _flips(data, chance, count):
    """Single bit flips: everywhere in the first 100 bytes (what SQLite says of the file), then at random."""
    size = len(data) * 8
    for bit in [*range(800), *(chance.randrange(800, size) for _ in range(count))]:
        yield data[: bit // 8] + bytes([data[bit // 8] ^ (1 << bit % 8)]) + data[bit // 8 + 1 :]


@pytest.mark.slow
def test_a_flipped_bit_is_found_or_changes_nothing(tmp_path, seconds):
    data = (tmp_path / "whole").read_bytes()
    outcomes = []
    for flipped in _flips(data, random.Random(1), 600):
        (tmp_path / "flipped").write_bytes(flipped)
        outcomes.append(_examine(tmp_path / "flipped", seconds))
    assert {"same", "less", "refused"} == set(outcomes)
    assert outcomes[800:].count("less") > 100


def test_a_flipped_bit_in_what_a_killed_recorder_left_is_found_or_changes_nothing(tmp_path):
    recorder = subprocess.Popen([sys.executable, sessions.__file__, str(tmp_path / "s")], stdout=subprocess.PIPE)
    while int(recorder.stdout.readline()) < 30:
        pass
    recorder.kill()
    recorder.communicate()
    files = {suffix: (tmp_path / f"s{suffix}").read_bytes() for suffix in ("", "-wal", "-shm")}
    with SessionReader(tmp_path / "s") as reader:
        count = len(list(reader.records())) // len(second_of(0))
    batches = [second_of(number) for number in range(count)]
    chance = random.Random(2)
    outcomes = set()
    for suffix, data in files.items():
        for _ in range(100):
            at = chance.randrange(len(data))
            (tmp_path / f"s{suffix}").write_bytes(
                data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
            )
            outcomes.add(_examine_records(tmp_path / "s", batches))
        (tmp_path / f"s{suffix}").write_bytes(data)
    assert outcomes <= {"same", "less", "refused"}


def _examine_records(path, batches):
    """The same for a session without verdicts that was not finished: it always has a note."""
    try:
        with SessionReader(path) as reader:
            records = list(reader.records())
            assert reader.note
            assert reader.info == INFO
    except PerfwatchError:
        return "refused"
    kept = 0
    for batch in batches:
        if records[: len(batch)] == batch:
            kept += 1
            del records[: len(batch)]
    assert records == []
    return "same" if kept == len(batches) else "less"


def test_a_file_that_was_cut_gives_what_is_left_or_is_refused(tmp_path, seconds):
    data = (tmp_path / "whole").read_bytes()
    chance = random.Random(3)
    lengths = [*range(0, len(data), 4096), *(chance.randrange(len(data)) for _ in range(60)), 1, 99, 100, 511, 512]
    outcomes = {}
    for length in lengths:
        (tmp_path / "cut").write_bytes(data[:length])
        outcomes[length] = _examine(tmp_path / "cut", seconds)
    assert outcomes[0] == outcomes[99] == outcomes[512] == "refused"
    assert "less" in outcomes.values()
    assert "same" not in outcomes.values()


def test_damage_is_counted_in_one_line(tmp_path, seconds):
    db = sqlite3.connect(tmp_path / "whole")
    db.execute("UPDATE packed SET packed = substr(packed, 2) WHERE second = 2")
    db.execute("DELETE FROM seconds WHERE number = 5")
    db.execute("DELETE FROM packed WHERE second = (SELECT max(second) FROM packed)")
    db.commit()
    db.close()
    with SessionReader(tmp_path / "whole") as reader:
        for _ in range(2):
            assert len(list(reader.records())) == 9 * len(seconds[0])
            assert reader.note == "3 of 12 seconds are damaged and left out"
        assert reader.finished


def test_an_order_that_was_changed_is_damage(tmp_path, seconds):
    db = sqlite3.connect(tmp_path / "whole")
    db.executescript("""
        UPDATE packed SET second = -1 WHERE second = 2;
        UPDATE packed SET second = 2 WHERE second = 3;
        UPDATE packed SET second = 3 WHERE second = -1;
    """)
    db.close()
    assert _examine(tmp_path / "whole", seconds) == "less"


def _refused(path):
    with pytest.raises(PerfwatchError) as refusal:
        SessionReader(path)
    assert "\n" not in str(refusal.value)
    return refusal.value.problem.replace(str(path), "FILE")


def test_what_is_no_session_is_refused_with_the_reason(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello, world\n" * 100)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "far").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    with sqlite3.connect(tmp_path / "other") as db:
        db.execute("CREATE TABLE requests (id)")
    db.close()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))

    said = {name: _refused(tmp_path / name) for name in ("empty", "text", "far", "pipe", "other", "socket", "none")}
    assert said == {
        "empty": "FILE is empty, not a session",
        "text": "FILE is not a session, or its beginning is damaged",
        "far": "cannot open FILE: No such file or directory",
        "pipe": "FILE is a pipe, not a session",
        "other": "FILE is an SQLite database of another program, not a session",
        "socket": "FILE is a socket, not a session",
        "none": "cannot open FILE: No such file or directory",
    }
    assert "oop" in _refused(tmp_path / "loop")
    assert _refused(tmp_path) == "FILE is a directory, not a session"
    assert _refused(tmp_path / ("x" * 300)) == "cannot open FILE: File name too long"
    assert _refused(tmp_path / "nul\0") == "cannot open FILE: embedded null byte"


def test_a_newer_session_is_refused_and_says_so(tmp_path):
    record_session(tmp_path / "s", 1)
    with sqlite3.connect(tmp_path / "s") as db:
        db.execute(f"PRAGMA user_version = {layout.VERSION + 1}")
    db.close()
    assert _refused(tmp_path / "s") == "FILE was made by a newer perfwatch (format 5, this one reads 4)"
