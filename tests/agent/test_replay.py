from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
import time

import pytest
from sessions import INFO, SECOND_NS, START_NS, judged, record_session, request, second_of

import perfwatch.agent.playing as module
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.playing import MAX_SPEED, MIN_SPEED
from perfwatch.agent.replay import Replay
from perfwatch.agent.session.following import LOOK_S
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.probes.records import Loss

SECONDS = 10


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def recording(tmp_path):
    return tmp_path / "s", record_session(tmp_path / "s", SECONDS)


@pytest.fixture
def replay(recording, clock):
    replay = Replay(recording[0], clock=clock)
    yield replay
    replay.close()


def _upto(records, at_ns):
    return tuple(itertools.takewhile(lambda record: record.at_ns <= at_ns, records))


def _at(seconds):
    return START_NS + round(seconds * SECOND_NS)


def test_records_come_when_their_time_has_come(replay, recording, clock):
    records = recording[1]
    clock.now_s += 50  # nothing runs before the first pull
    seen = ()
    for step in (0, 0.5, 1.0, 3.25, SECONDS):
        clock.now_s = 150 + step
        batch = replay.pull(0)
        seen += batch.records
        assert seen == _upto(records, _at(step))
        assert not batch.restarted
    assert list(seen) == records
    assert batch.position.label == "ended"
    assert replay.info == INFO


def test_the_first_pull_tells_where_it_stands(replay, recording):
    position = replay.pull(0).position
    assert (position.label, position.now_ns) == ("replay 1x", START_NS)
    assert (position.first_ns, position.last_ns) == (START_NS, recording[1][-1].at_ns)
    assert (position.paused, position.seekable, position.note) == (False, True, None)


def test_a_speed_scales_the_time_from_then_on(replay, clock):
    replay.pull(0)
    clock.now_s += 1
    replay.set_speed(4)
    assert replay.pull(0).position.now_ns == _at(1)
    clock.now_s += 1
    assert (replay.pull(0).position.now_ns, replay.pull(0).position.label) == (_at(5), "replay 4x")
    replay.set_speed(0.5)
    clock.now_s += 1
    assert (replay.pull(0).position.now_ns, replay.pull(0).position.label) == (_at(5.5), "replay 0.5x")


@pytest.mark.parametrize(
    ("asked", "given"), [(0, MIN_SPEED), (-4, MIN_SPEED), (1e12, MAX_SPEED), (float("inf"), MAX_SPEED)]
)
def test_no_speed_stops_or_breaks_it(replay, asked, given):
    replay.set_speed(asked)
    assert replay.pull(0).position.label == f"replay {given:g}x"


def test_a_pause_holds_the_time(replay, clock):
    replay.pull(0)
    clock.now_s += 2
    replay.pause(paused=True)
    clock.now_s += 5
    position = replay.pull(0).position
    assert (position.label, position.paused, position.now_ns) == ("paused", True, _at(2))
    replay.pause(paused=False)
    clock.now_s += 1
    assert replay.pull(0).position.now_ns == _at(3)


def test_a_seek_forward_gives_what_lies_between_at_once(replay, recording):
    seen = replay.pull(0).records
    replay.seek(_at(6))
    batch = replay.pull(0)
    assert (seen + batch.records, batch.restarted) == (_upto(recording[1], _at(6)), False)
    assert batch.position.now_ns == _at(6)


def test_a_seek_backward_starts_again_from_the_first_record(replay, recording, clock):
    replay.pull(0)
    clock.now_s += 8
    replay.pull(0)
    replay.seek(_at(3.5))
    batch = replay.pull(0)
    assert (batch.records, batch.restarted) == (_upto(recording[1], _at(3.5)), True)
    assert not replay.pull(0).restarted
    clock.now_s += 1
    assert replay.pull(0).records == _upto(recording[1], _at(4.5))[len(batch.records) :]


def test_of_many_seeks_the_last_one_counts(replay, recording):
    replay.pull(0)
    replay.seek(_at(5))
    replay.pull(0)
    for second in (1, 7, 2, 9, 3):
        replay.seek(_at(second))
    batch = replay.pull(0)
    assert (batch.records, batch.restarted) == (_upto(recording[1], _at(3)), True)


def test_seeks_forth_and_back_that_nobody_saw_do_not_start_again(replay):
    replay.pull(0)
    replay.seek(_at(9))
    replay.seek(_at(2))
    assert not replay.pull(0).restarted


def test_a_seek_is_clamped_to_the_recording(replay, recording):
    replay.seek(1 << 70)
    batch = replay.pull(0)
    assert list(batch.records) == recording[1]
    replay.seek(-1)
    batch = replay.pull(0)
    assert (batch.restarted, batch.position.now_ns) == (True, START_NS)


def test_a_paused_replay_can_be_sought_and_stays_paused(replay, recording):
    replay.pause(paused=True)
    replay.pull(0)
    replay.seek(_at(4))
    batch = replay.pull(0)
    assert batch.position.paused
    assert batch.position.now_ns == _at(4)
    assert replay.pull(0).records == ()


def test_at_its_end_it_says_so_and_can_be_sought_still(replay, recording):
    replay.seek(1 << 62)
    for _ in range(2):
        batch = replay.pull(0)
        assert batch.ended == "end of the recording: the time was over"
        assert (batch.position.label, batch.position.seekable) == ("ended", True)
    replay.seek(_at(1))
    batch = replay.pull(0)
    assert (batch.ended, batch.restarted, batch.records) == (None, True, _upto(recording[1], _at(1)))


def test_records_out_of_order_keep_the_order_of_delivery(tmp_path, clock):
    records = [Loss(START_NS + at, "p", at, "r") for at in (0, 500, 100, 900, 300)]
    with SessionWriter(tmp_path / "s", INFO) as writer:
        for record in records:
            writer.write(record)
            writer.commit()
    replay = Replay(tmp_path / "s", clock=clock)
    replay.seek(1 << 62)
    batch = replay.pull(0)
    assert list(batch.records) == records
    assert batch.ended
    replay.close()


def test_a_long_jump_comes_in_batches_that_do_not_wait(replay, recording, monkeypatch):
    monkeypatch.setattr(module, "MAX_BATCH", 7)
    replay.seek(1 << 62)
    seen, batches = [], 0
    began = time.monotonic()
    while True:
        batch = replay.pull(30)
        seen += batch.records
        batches += 1
        if batch.ended:
            break
    assert (seen, batches) == (recording[1], -(-len(recording[1]) // 7))
    assert time.monotonic() - began < 10


def test_an_empty_session_has_ended_at_once(tmp_path):
    with SessionWriter(tmp_path / "s", INFO):
        pass
    replay = Replay(tmp_path / "s")
    batch = replay.pull(0)
    assert (batch.records, batch.ended) == ((), "end of the recording: the recorder ended")
    replay.close()


def test_what_is_damaged_is_noted_in_the_position(recording, clock):
    path, records = recording
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE packed SET packed = substr(packed, 2) WHERE second = 8")
    replay = Replay(path, clock=clock)
    replay.seek(1 << 62)
    batch = replay.pull(0)
    each = len(second_of(0))
    assert list(batch.records) == records[: 7 * each] + records[8 * each :]
    assert batch.position.note == "1 of 10 seconds are damaged and left out"
    replay.close()


def test_it_plays_in_real_time(recording):
    replay = Replay(recording[0], speed=50)
    began = time.monotonic()
    seen = []
    while True:
        batch = replay.pull(5)
        seen += batch.records
        if batch.ended:
            break
    assert seen == recording[1]
    assert 0.17 < time.monotonic() - began < 5  # 9 seconds at 50 times the speed
    replay.close()


def test_a_pull_waits_no_longer_than_it_was_told(recording):
    replay = Replay(recording[0], speed=MIN_SPEED)
    replay.seek(_at(0.5))
    replay.pull(0)
    began = time.monotonic()
    assert replay.pull(0.05).records == ()
    assert 0.04 < time.monotonic() - began < 1
    replay.close()


@pytest.mark.parametrize(
    "control",
    [
        lambda replay: replay.pause(paused=True),
        lambda replay: replay.seek(_at(5)),
        lambda replay: replay.set_speed(8),
        lambda replay: replay.close(),
    ],
    ids=["pause", "seek", "speed", "close"],
)
def test_a_control_wakes_a_pull_at_once(recording, control):
    replay = Replay(recording[0], speed=MIN_SPEED)
    while replay.pull(0).records:
        pass
    batches = []
    puller = threading.Thread(target=lambda: batches.append(replay.pull(60)))
    puller.start()
    while not replay._player._controls._waiters:
        time.sleep(0.001)
    began = time.monotonic()
    control(replay)
    puller.join(30)
    assert time.monotonic() - began < 5
    assert len(batches) == 1
    replay.close()


def test_after_close_it_only_says_so(recording):
    replay = Replay(recording[0])
    replay.pull(0)
    replay.close()
    replay.close()
    replay.seek(_at(5))
    assert (replay.pull(10).records, replay.pull(10).ended) == ((), "closed")


def test_controls_from_other_threads_never_lose_or_double_a_record(recording):
    path, records = recording
    replay = Replay(path, speed=1000)
    is_over = threading.Event()

    def fiddle():
        for step in itertools.cycle(range(SECONDS)):
            replay.seek(_at(step))
            replay.pause(paused=step % 2 == 0)
            replay.set_speed(step * 100)
            if is_over.wait(0.001):
                return

    fiddler = threading.Thread(target=fiddle)
    fiddler.start()
    seen = []
    try:
        for _ in range(300):
            batch = replay.pull(0.01)
            seen = [*batch.records] if batch.restarted else [*seen, *batch.records]
            assert seen == records[: len(seen)]
    finally:
        is_over.set()
        fiddler.join()
    replay.close()


def test_what_is_no_session_is_refused(tmp_path):
    with pytest.raises(PerfwatchError, match="No such file"):
        Replay(tmp_path / "none")


def test_it_is_a_source():
    from perfwatch.agent.source import Source

    assert {name for name in vars(Source) if not name.startswith("_")} <= set(dir(Replay))


# --- looking back no further than need be


@pytest.fixture
def short_sighted(monkeypatch):
    """A quick look of 2 seconds, and 4 that are enough."""
    monkeypatch.setattr(module, "QUICK", module.Reach(2 * SECOND_NS, 10**6))
    monkeypatch.setattr(module, "ENOUGH", module.Reach(4 * SECOND_NS, 10**6))


def _between(records, begin_ns, end_ns):
    return tuple(record for record in records if begin_ns <= record.at_ns <= end_ns)


@pytest.mark.usefixtures("short_sighted")
@pytest.mark.parametrize("start", [0, 9], ids=["forward", "backward"])
def test_a_far_seek_begins_a_little_before_and_then_a_little_more(replay, recording, start):
    replay.pause(paused=True)
    replay.seek(_at(start))
    replay.pull(0)
    replay.pull(0)
    replay.seek(_at(6.5))
    quick = replay.pull(0)
    assert quick.restarted
    assert quick.records == _between(recording[1], _at(5), _at(6.5))
    assert quick.position.since_ns == _at(5)
    enough = replay.pull(0)
    assert (enough.restarted, enough.position.since_ns) == (True, _at(3))
    assert enough.records == _between(recording[1], _at(3), _at(6.5))
    assert not replay.pull(0).restarted


@pytest.mark.usefixtures("short_sighted")
def test_a_near_seek_forward_plays_on(replay, recording):
    replay.pause(paused=True)
    seen = replay.pull(0).records
    for second in (1, 2.5, 4):
        replay.seek(_at(second))
        batch = replay.pull(0)
        assert (batch.restarted, batch.position.since_ns) == (False, None)
        seen += batch.records
    assert seen == _upto(recording[1], _at(4))


def test_a_look_back_is_bounded_in_records_too(replay, recording, monkeypatch):
    each = len(second_of(0))
    monkeypatch.setattr(module, "QUICK", module.Reach(100 * SECOND_NS, 2 * each))
    monkeypatch.setattr(module, "ENOUGH", module.Reach(100 * SECOND_NS, 2 * each))
    replay.pull(0)
    replay.seek(_at(8.5))
    assert replay.pull(0).records == _between(recording[1], _at(7), _at(8.5))


# --- windows


def test_a_window_is_that_stretch_and_nothing_else(replay, recording):
    window = module.Window(_at(2), _at(5))
    replay.pull(0)
    replay.select(window)
    batch = replay.pull(0)
    assert batch.restarted
    assert batch.records == _between(recording[1], *window)
    assert (batch.position.window, batch.position.now_ns, batch.position.label) == (window, window.end_ns, "window")
    assert replay.pull(0).records == ()
    replay.seek(_at(1))
    batch = replay.pull(0)
    assert (batch.restarted, batch.position.window) == (True, None)
    assert batch.records == _upto(recording[1], _at(1))


def test_a_window_that_holds_too_much_is_cut_and_says_so(replay, recording, monkeypatch):
    monkeypatch.setattr(module, "MAX_WINDOW", 20)
    replay.select(module.Window(_at(2), _at(9)))
    batch = replay.pull(0)
    assert batch.records == _between(recording[1], _at(2), _at(9))[:20]
    assert "cut" in batch.position.note
    replay.seek(_at(1))
    assert replay.pull(0).position.note is None


def test_a_stretch_can_be_cut_out_while_it_plays(replay, recording):
    window = module.Window(_at(3), _at(4.5))
    replay.pull(0)
    assert tuple(replay.cut(window)) == _between(recording[1], *window)


def _commit(writer, number):
    for record in second_of(number):
        writer.write(record)
    writer.commit()


def _pulled(replay, count):
    """Pull until so many records came."""
    records = []
    deadline = time.monotonic() + 60
    while len(records) < count and time.monotonic() < deadline:
        batch = replay.pull(0.05)
        assert batch.ended is None
        records += batch.records
    return records, batch.position


def test_a_session_that_is_still_being_recorded_goes_on_as_it_does(tmp_path):
    each = len(second_of(0))
    with SessionWriter(tmp_path / "s", INFO) as writer:
        replay = Replay(tmp_path / "s", speed=10_000)
        assert replay.pull(0).ended is None
        for number in range(3):
            _commit(writer, number)
            records, position = _pulled(replay, each)
            assert records == second_of(number)
        assert (position.label, position.last_ns) == ("following", records[-1].at_ns)
        assert position.note == "still being recorded: what comes is followed"
        replay.seek(START_NS)
        records, _ = _pulled(replay, 3 * each)
        assert records == second_of(0) + second_of(1) + second_of(2)
        _commit(writer, 3)
        writer.close("the time was over")
    records, ended = [], None
    while ended is None:
        batch = replay.pull(0.05)
        records, ended = records + list(batch.records), batch.ended
    assert records == second_of(3)
    assert (ended, batch.position.note) == ("end of the recording: the time was over", None)
    replay.close()


def test_what_is_committed_while_the_beginning_is_played_comes_once(tmp_path, clock):
    with SessionWriter(tmp_path / "s", INFO) as writer:
        for number in range(3):
            _commit(writer, number)
        replay = Replay(tmp_path / "s", clock=clock)
        seen = list(replay.pull(0).records)
        for number in range(3, 5):
            _commit(writer, number)
        time.sleep(LOOK_S)
        for _ in range(60):
            clock.now_s += 0.1
            seen += replay.pull(0).records
        writer.close("the time was over")
    assert seen == [record for number in range(5) for record in second_of(number)]
    replay.close()


def test_a_recorder_that_dies_ends_what_follows_it(tmp_path):
    writer = SessionWriter(tmp_path / "s", INFO)
    _commit(writer, 0)
    replay = Replay(tmp_path / "s", speed=10_000)
    records, _ = _pulled(replay, len(second_of(0)))
    assert records == second_of(0)
    writer._release()  # as a kill leaves it
    while (batch := replay.pull(0.05)).ended is None:
        pass
    assert batch.ended == "end of the recording, which was cut off"
    assert batch.position.note.startswith("cut off")
    replay.close()


def test_marks_of_what_comes_are_found(tmp_path):
    with SessionWriter(tmp_path / "s", INFO) as writer:
        _commit(writer, 0)
        replay = Replay(tmp_path / "s", speed=10_000)
        _pulled(replay, len(second_of(0)))
        writer.write_verdict(judged(request(77, START_NS + 5)))
        _commit(writer, 1)
        _pulled(replay, len(second_of(1)))
        replay.read_marks(lambda: 1.0)
        assert replay.marks.after("slow", START_NS) == START_NS + 5
        replay.close()
