"""When an answer was handed over, where its client reads slowly."""

import pytest
from timelines import MS, RUNNING, pool, reading, sending, thread

from perfwatch.probes.sampled.sending import handed_over
from perfwatch.probes.wire.exchanges import WireRequest


def request(arrived_ms=105, answered_ms=110, ended_ms=400):
    return WireRequest(
        id=1,
        connection=1,
        local="127.0.0.1:8000",
        remote="127.0.0.1:4000",
        arrived_ns=arrived_ms * MS,
        ended_ns=ended_ms * MS,
        method="GET",
        target="/",
        status=200,
        received_bytes=100,
        sent_bytes=1 << 20,
        outcome="answered",
        answered_ns=answered_ms * MS,
    )


def sender(tid, *after):
    return thread(tid, pool(), (110, 1, sending()), (210, 1, sending()), *after, rests=[pool()])


@pytest.mark.parametrize("rest", [pool(), reading()], ids=["pool", "own connection"])
def test_it_was_handed_over_when_the_thread_that_sent_it_came_to_rest(rest):
    made = thread(1, rest, (110, 1, sending()), (210, 1, sending()), (310, 1, rest), rests=[pool()])
    assert handed_over(request(), [made]).ended_ns == 305 * MS


def test_what_the_thread_still_does_after_sending_is_waited_for():
    made = sender(1, (310, 1, RUNNING), (320, 9, pool()))
    assert handed_over(request(), [made]).ended_ns == 315 * MS


def test_a_thread_that_sends_until_the_last_packet_ends_with_it():
    assert handed_over(request(ended_ms=300), [sender(1)]).ended_ns == 300 * MS


def test_without_a_thread_that_was_seen_sending_packets_tell():
    assert handed_over(request(), [thread(1, pool(), (110, 1, pool()))]).ended_ns == 400 * MS
    assert handed_over(request(), [sender(1, (310, 1, pool())), sender(2, (320, 1, pool()))]).ended_ns == 400 * MS
