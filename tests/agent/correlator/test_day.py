"""A day of requests: what the correlator holds is as much in the evening as at noon."""

import gc
import sys

import fake_records
import making as m
import pytest
from record_stream import Stream

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.report import correlate

SECONDS = 2400
"""So many of the day's, evenly spread, have records; no collection has more than an hour of seconds."""
DAY_S = 86_400
RATE = 30
ENOUGH = 1.08


@pytest.mark.slow
def test_no_more_is_held_in_the_evening_than_at_noon():
    """The most that was allocated in the third quarter and in the last: by then everything that is bounded is full."""
    correlator, stream = Correlator(m.info(cpus=8)), Stream(RATE)
    most = [0] * 4
    for number in range(SECONDS):
        for record in stream.second(number * DAY_S // SECONDS):
            correlator.feed(record)
        if number % 20 == 0:
            gc.collect(0)
            quarter = number * 4 // SECONDS
            most[quarter] = max(most[quarter], sys.getallocatedblocks())
    view = correlator.view()
    assert view.count == RATE * SECONDS
    assert len(view.timeline) == 3600
    assert most[3] <= ENOUGH * most[2], most


def test_the_stream_is_the_same_each_time_and_says_something():
    records = [record for number in range(20) for record in Stream(100).second(number)]
    one, other = (correlate(fake_records.session_info(), records) for _ in range(2))
    assert one == other
    assert {endpoint.verdict.mechanism for endpoint in one[0].endpoints} & {"lock", "sleep", "dependency", "cpu"}
