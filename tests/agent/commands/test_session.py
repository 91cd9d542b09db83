"""`perfwatch session` on real files, by its command line."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import making as m
import msgspec
import pytest
import sessions
from click.testing import CliRunner
from recording import PERFWATCH, SPARE_S
from sessions import INFO, START_NS, judged, read, record_session, request, second_of

from perfwatch.agent.cli import cli
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.stored import StoredVerdict
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.probes.records import InFlight, Loss, ServedRequest, ThreadWait
from perfwatch.probes.samples import Connection

FIXTURES = Path(__file__).parents[2] / "fixtures" / "sessions"
EACH = len(second_of(0))


def run(*arguments):
    return CliRunner().invoke(cli, ["session", *map(str, arguments)], catch_exceptions=False)


def failed(*arguments):
    with pytest.raises(PerfwatchError) as error:
        run(*arguments)
    assert str(error.value).isprintable()
    return str(error.value)


@pytest.fixture
def path(tmp_path):
    record_session(tmp_path / "s", 6)
    return tmp_path / "s"


@pytest.fixture
def broken(path):
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE packed SET packed = substr(packed, 3) WHERE second IN (2, 3)")
        db.execute("DELETE FROM seconds WHERE number = 5")
    return path


def verdicts(path):
    with SessionReader(path) as reader:
        return list(reader.verdicts())


def test_info_says_what_a_session_is(path):
    told = run("info", path).stdout
    for part in (
        "format 4",
        "finished: the time was over",
        "6 seconds, 78 records, 6 verdicts",
        "gunicorn shop.wsgi (pid 4312)",
    ):
        assert part in told
    said = json.loads(run("info", path, "--json").stdout)
    assert (said["state"], said["seconds"], said["records"], said["verdicts"]) == ("finished", 6, 78, 6)
    assert said["bytes"] == path.stat().st_size
    assert said["first"] == pytest.approx(INFO.unix_s(START_NS))


@pytest.mark.parametrize("file", sorted(FIXTURES.iterdir()), ids=lambda file: file.name)
def test_sessions_of_all_formats_can_be_told_checked_and_made_anew(file, tmp_path):
    assert run("verify", file).stdout.startswith("whole: ")
    assert json.loads(run("info", file, "--json").stdout)["state"] == "finished"
    run("compact", file, "-o", tmp_path / "small")
    with SessionReader(file) as before, SessionReader(tmp_path / "small") as after:
        assert list(after.records()) == list(before.records())
        assert list(after.verdicts()) == list(before.verdicts())
        assert (after.info, after.ended, after.version) == (before.info, before.ended, 4)
    share = 1 if "format-4" in file.name else 0.6
    assert (tmp_path / "small").stat().st_size < share * file.stat().st_size


def test_a_whole_session_verifies_and_is_repaired_into_the_same(path, tmp_path):
    assert run("verify", path).stdout == "whole: 6 seconds, 78 records, 6 verdicts\n"
    assert "no second was lost" in run("repair", path, "-o", tmp_path / "new").stderr
    assert read(tmp_path / "new") == read(path)
    assert verdicts(tmp_path / "new") == verdicts(path)


def test_damage_is_found_and_what_is_sound_is_saved(broken, tmp_path):
    before = broken.read_bytes()
    with pytest.raises(PerfwatchError, match="is damaged: 3 of 6 seconds lost"):
        run("verify", broken)
    result = run("repair", broken, "-o", tmp_path / "new")
    assert result.stderr == f"wrote {tmp_path / 'new'}; 3 seconds ({3 * EACH} records) lost\n"
    assert broken.read_bytes() == before
    records = read(tmp_path / "new")
    lost = [record for record in records if isinstance(record, Loss) and record.probe == "session"]
    assert [(one.lost, one.reason) for one in lost] == [
        (2 * EACH, "2 seconds of the recording were damaged"),
        (EACH, "1 second of the recording was damaged"),
    ]
    assert [one for one in records if one not in lost] == second_of(0) + second_of(3) + second_of(5)
    assert run("verify", tmp_path / "new").exit_code == 0
    assert len(verdicts(tmp_path / "new")) == 3


def test_where_it_is_damaged_is_told(broken):
    command = [PERFWATCH, "session", "verify", str(broken)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SPARE_S)
    assert ended.returncode == 1
    assert ended.stdout.splitlines() == [
        "lost: 2 seconds, 26 records between 22:13:20 and 22:13:23 (UTC)",
        "lost: 1 second, 13 records between 22:13:23 and 22:13:25 (UTC)",
    ]
    assert ended.stderr.count("\n") == 1


def test_a_session_of_which_the_end_is_lost_is_repaired(path, tmp_path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with contextlib.suppress(PerfwatchError):
        run("repair", path, "-o", tmp_path / "new")
        records = [one for one in read(tmp_path / "new") if not (isinstance(one, Loss) and one.probe == "session")]
        assert len(records) % EACH == 0


@pytest.mark.parametrize("file", sorted(FIXTURES.iterdir()), ids=lambda file: file.name)
@pytest.mark.parametrize("pages", [0.1, 1, 2])
def test_a_session_whose_beginning_is_lost_is_repaired(file, pages, tmp_path):
    data = file.read_bytes()
    lost = int(pages * int.from_bytes(data[16:18]))
    (tmp_path / "s").write_bytes(bytes(lost) + data[lost:])
    for command in ("info", "verify"):
        failed(command, tmp_path / "s")
    result = run("repair", tmp_path / "s", "-o", tmp_path / "new")
    assert "no second was lost" in result.stderr
    assert read(tmp_path / "new") == read(file)
    with SessionReader(file) as before, SessionReader(tmp_path / "new") as after:
        assert (after.info == before.info) == ("not known" not in result.stderr)
        assert after.ended == before.ended
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["new", "s"]


def test_of_what_never_was_a_session_nothing_is_saved(tmp_path):
    for name, data in {"text": b"hello" * 9999, "zeros": bytes(1 << 20)}.items():
        (tmp_path / name).write_bytes(data)
        assert "nothing of" in failed("repair", tmp_path / name, "-o", tmp_path / "new")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["text", "zeros"]


def test_a_cut_has_the_stretch_and_the_verdicts_on_its_requests(path, tmp_path):
    result = run("cut", path, "--from", "22:13:22", "--to", "+3.5s", "-o", tmp_path / "part")
    assert result.stderr == f"wrote {tmp_path / 'part'}: {2 * EACH} records\n"
    assert read(tmp_path / "part") == second_of(2) + second_of(3)
    with SessionReader(tmp_path / "part") as reader:
        requests = {one.id for one in reader.records() if isinstance(one, ServedRequest)}
        assert {one.request_id for one in reader.verdicts()} <= requests
        assert len(list(reader.verdicts())) == 2
        assert (reader.info, reader.ended) == (INFO, "it was cut from a longer recording")


def test_a_verdict_that_came_after_the_cut_is_kept(tmp_path):
    with SessionWriter(tmp_path / "s", INFO) as writer:
        for number, at_s in ((1, 1), (2, 9)):
            writer.write(request(number, START_NS + at_s * m.SECOND))
            writer.commit()
        writer.write(Loss(START_NS + 12 * m.SECOND, "p", 1, "r"))
        for number in (1, 2):
            writer.write_verdict(judged(request(number, START_NS)))
        writer.close("over")
    run("cut", tmp_path / "s", "--to", "+7s", "-o", tmp_path / "part")
    assert verdicts(tmp_path / "part") == [StoredVerdict.of(1, judged(request(1, 0)).verdict)]


def test_an_empty_cut_and_wrong_times_are_refused(path, tmp_path):
    assert run("cut", path, "--from", "end", "--to", "start", "-o", tmp_path / "x").exit_code == 2
    assert run("cut", path, "--from", "noon", "-o", tmp_path / "x").exit_code == 2
    assert not (tmp_path / "x").exists()


def later(path, seconds, *, info=INFO, first=1):
    """A recording of another recorder of this host, which begins to count anew."""
    with SessionWriter(path, info) as writer:
        for number in range(first, first + seconds):
            at_ns = info.started_ns + (number - first) * m.SECOND
            waker = m.waker(request=number)
            held = msgspec.structs.replace(m.wait("lock", 1, waker=waker), ahead=m.waker())
            one = msgspec.structs.replace(request(number, at_ns), waits=(held,))
            writer.write(one)
            writer.write(InFlight(at_ns, 1, (m.opened(number + 1, 1, 0),)))
            writer.write(ThreadWait(at_ns, 1, 2, held))
            writer.write(Connection(at_ns, number, "accepted", "a:1", "b:2", *[None] * 5, 0, False, *[None] * 3))
            writer.write_verdict(judged(one))
            writer.commit()
        writer.close("it was restarted")


def shifted(seconds, **changes):
    return msgspec.structs.replace(
        INFO,
        started_ns=INFO.started_ns + seconds * m.SECOND,
        started_unix_ns=INFO.started_unix_ns + seconds * m.SECOND,
        **changes,
    )


def test_recordings_of_one_host_become_one_and_no_id_means_two(tmp_path):
    later(tmp_path / "a", 3)
    later(tmp_path / "b", 2, info=shifted(60, pid=999))
    result = run("merge", tmp_path / "b", tmp_path / "a", "-o", tmp_path / "both")
    assert result.stderr == f"wrote {tmp_path / 'both'}: 20 records\n"
    records = read(tmp_path / "both")
    requests = [one for one in records if isinstance(one, ServedRequest)]
    assert [one.id for one in requests] == [1, 2, 3, 5, 6]  # 4 was open
    assert [one.waits[0].waker.request for one in requests] == [1, 2, 3, 5, 6]
    assert [one.requests[0].id for one in records if isinstance(one, InFlight)] == [2, 3, 4, 6, 7]
    assert [one.wait.waker.request for one in records if isinstance(one, ThreadWait)] == [1, 2, 3, 5, 6]
    assert [one.id for one in records if isinstance(one, Connection)] == [1, 2, 3, 4, 5]
    assert [one.request_id for one in verdicts(tmp_path / "both")] == [1, 2, 3, 5, 6]
    assert [one.at_ns for one in records] == sorted(one.at_ns for one in records)


def test_segments_of_one_recording_keep_their_ids(tmp_path):
    later(tmp_path / "a", 3)
    later(tmp_path / "b", 2, info=shifted(60, previous="a"), first=3)
    run("merge", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "both")
    assert [one.id for one in read(tmp_path / "both") if isinstance(one, ServedRequest)] == [1, 2, 3, 3, 4]


@pytest.mark.parametrize(
    ("info", "why"),
    [
        (shifted(60, hostname="another"), "of two hosts"),
        (msgspec.structs.replace(INFO, started_unix_ns=INFO.started_unix_ns + 3600 * m.SECOND), "it was restarted"),
        (shifted(-1), "overlap in time"),
    ],
)
def test_what_cannot_be_told_against_each_other_is_not_merged(tmp_path, info, why):
    later(tmp_path / "a", 8)
    later(tmp_path / "b", 8, info=info)
    assert why in failed("merge", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_what_cannot_be_read_or_written_is_one_line(path, broken, tmp_path):
    (tmp_path / "text").write_text("hello")
    for command in ("info", "verify"):
        assert "is not a session" in failed(command, tmp_path / "text")
    for command in ("repair", "cut", "compact", "copy", "merge"):
        why = "nothing of" if command == "repair" else "is not a session"
        assert why in failed(command, tmp_path / "text", "-o", tmp_path / "new")
        assert "exists already" in failed(command, path, "-o", path)
        assert run(command, path).exit_code == 2
    assert "session repair" in failed("compact", broken, "-o", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_session_can_be_written_over_itself(path):
    records = read(path)
    run("compact", path, "-o", path, "--overwrite")
    assert read(path) == records
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def recorder(tmp_path):
    process = subprocess.Popen([sys.executable, sessions.__file__, str(tmp_path / "live")], stdout=subprocess.PIPE)
    while int(process.stdout.readline()) < 3:
        pass
    yield process
    process.kill()
    process.communicate()


def test_a_session_is_copied_while_it_is_recorded(recorder, tmp_path):
    assert json.loads(run("info", tmp_path / "live", "--json").stdout)["state"] == "recording"
    for number in range(5):
        safe = int(recorder.stdout.readline())
        copy = tmp_path / f"copy-{number}"
        run("copy", tmp_path / "live", "-o", copy)
        with SessionReader(copy) as reader:
            records = list(reader.records())
            assert (reader.note, reader.ended) == (None, "it was copied before it was finished")
        assert len(records) >= safe * EACH
        assert records[-EACH:] == second_of(len(records) // EACH - 1)
    assert sorted(entry.name for entry in tmp_path.glob("*copy*")) == [f"copy-{n}" for n in range(5)]
    assert recorder.poll() is None


def test_what_a_killed_recorder_left_is_no_damage(recorder, tmp_path):
    recorder.kill()
    recorder.wait()
    assert "cut off: it was never finished" in run("verify", tmp_path / "live").stdout
    run("repair", tmp_path / "live", "-o", tmp_path / "new")
    with SessionReader(tmp_path / "new") as reader:
        assert (reader.note, reader.ended) == (None, "it was cut off")
        assert list(reader.records()) == read(tmp_path / "live")
