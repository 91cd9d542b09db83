import time

import msgspec
import pytest
from fakes import SECOND, session_info

from perfwatch.agent.moments import parse
from perfwatch.agent.source import Position

INFO = session_info()
FIRST = INFO.started_ns
"""14:13:20."""
POSITION = Position("live", FIRST + 300 * SECOND, FIRST, FIRST + 600 * SECOND, paused=False, seekable=True)


@pytest.fixture
def zone(monkeypatch):
    """Sets the local time zone."""

    def set_to(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    set_to("UTC")
    yield set_to
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("start", 0),
        ("end", 600),
        ("+30s", 330),
        ("- 2m", 180),
        ("+1.5", 301.5),
        ("3m ago", 420),
        ("30 s ago", 570),
        ("14:15", 100),
        ("14:15:30", 130),
        ("9h ago", 0),
        ("+9h", 600),
        ("14:13", 0),
        ("15:00", 0),
    ],
)
def test_moments(text, seconds):
    assert parse(text, POSITION, INFO) == FIRST + int(seconds * SECOND)


@pytest.mark.parametrize("text", ["", "soon", "25:00", "10:61", "3m", "+", "ago", "+99999999s", "[bold]", "10:27x"])
def test_what_is_no_moment(text):
    assert parse(text, POSITION, INFO) is None


def test_a_time_of_day_is_local_unless_it_shall_be_utc(zone):
    zone("Asia/Kolkata")
    assert parse("14:15", POSITION, INFO, is_utc=True) == FIRST + 100 * SECOND
    assert parse("19:45", POSITION, INFO) == FIRST + 100 * SECOND


@pytest.mark.parametrize("is_utc", [False, True])
def test_in_a_recording_that_claims_no_real_date_no_time_of_day_is_one(is_utc):
    info = msgspec.structs.replace(INFO, started_unix_ns=1 << 100)
    assert parse("14:15", POSITION, info, is_utc=is_utc) is None
    assert parse("+30s", POSITION, info, is_utc=is_utc) == FIRST + 330 * SECOND
