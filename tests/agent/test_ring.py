"""What a live view keeps of its stream: the newest of it, readable from any moment on, while more comes."""

import itertools

import msgspec
import pytest
from fake_records import SECOND, generate

from perfwatch.agent.feeder_messages import Records
from perfwatch.agent.playing import Player, Reach
from perfwatch.agent.ring import Ring

RECORDS = generate(30)
FIRST = RECORDS[0].at_ns


def messages(each=7):
    return [RECORDS[at : at + each] for at in range(0, len(RECORDS), each)]


def appended(ring, batches):
    for batch in batches:
        ring.append(msgspec.msgpack.encode(Records(batch)), batch)
    return ring


def kept(ring, start_ns=None):
    return list(itertools.takewhile(lambda record: record is not None, ring.records(start_ns)))


def test_what_was_appended_can_be_read_again():
    ring = appended(Ring(), messages())
    assert kept(ring) == list(RECORDS)
    assert (ring.first_ns, ring.last_ns) == (FIRST, RECORDS[-1].at_ns)


def test_it_can_be_read_from_any_moment_on():
    ring = appended(Ring(), messages())
    for second in (0, 3.5, 17, 29.9, 40):
        start = FIRST + int(second * SECOND)
        assert kept(ring, start) == [record for record in RECORDS if record.at_ns >= start]


def test_a_reader_goes_on_with_what_comes_later():
    ring, batches = Ring(), messages()
    reader, seen = ring.records(), []
    assert next(reader) is None
    for batch in batches:
        appended(ring, [batch])
        seen += itertools.takewhile(lambda record: record is not None, reader)
    assert seen == list(RECORDS)


def test_the_oldest_is_forgotten_and_what_is_left_is_whole():
    whole = appended(Ring(), messages())
    ring = appended(Ring(max_bytes=whole.size_bytes // 3), messages())
    left = kept(ring)
    assert ring.size_bytes <= whole.size_bytes // 3
    assert left == list(RECORDS[-len(left) :])
    assert 0 < len(left) < len(RECORDS)
    assert ring.first_ns == left[0].at_ns


def test_it_is_bounded_in_time_too():
    ring = appended(Ring(max_ns=10 * SECOND), messages())
    assert 8 * SECOND <= ring.last_ns - ring.first_ns <= 12 * SECOND


def test_a_reader_that_is_overtaken_goes_on_with_the_oldest_that_is_left():
    ring, batches = Ring(max_ns=5 * SECOND), messages()
    appended(ring, batches[:2])
    reader = ring.records()
    assert next(reader) == RECORDS[0]
    appended(ring, batches[2:])
    rest = list(itertools.takewhile(lambda record: record is not None, reader))
    assert rest[-1] == RECORDS[-1]
    assert [record.at_ns for record in rest] == sorted(record.at_ns for record in rest)


@pytest.mark.parametrize(("reach", "seconds"), [(Reach(5 * SECOND, 10**6), (4, 5)), (Reach(100 * SECOND, 100), (1, 5))])
def test_looking_back_is_bounded_in_time_and_in_records(reach, seconds):
    ring = appended(Ring(), messages())
    moment = FIRST + 20 * SECOND
    begin = ring.begin(moment, reach)
    assert seconds[0] * SECOND <= moment - begin <= seconds[1] * SECOND
    assert sum(begin <= record.at_ns <= moment for record in RECORDS) <= reach.records


def test_a_player_catches_up_with_what_grows():
    clock = [0.0]
    ring, batches = Ring(), messages()
    appended(ring, batches[:-5])
    player = Player(ring, at_ns=ring.last_ns - 2 * SECOND, speed=10, clock=lambda: clock[0])
    player.wait(0)
    seen = []
    for batch in [*batches[-5:], *[()] * 10]:
        appended(ring, [batch])
        clock[0] += 0.1 if batch else 10
        taken = player.take()
        seen = [*taken.records] if taken.restarted else [*seen, *taken.records]
    assert seen == list(RECORDS)
    assert player.is_at_end
