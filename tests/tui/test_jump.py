import pytest
from fakes import SECOND, session_info

from perfwatch.agent.source import Position
from perfwatch.tui.jump import parse

INFO = session_info()
FIRST = INFO.started_ns
"""14:13:20."""
POSITION = Position("live", FIRST + 300 * SECOND, FIRST, FIRST + 600 * SECOND, paused=False, seekable=True)


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
