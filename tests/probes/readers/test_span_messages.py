"""Messages of the middleware, and of whoever else may write to its socket."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfwatch.probes.errors import Malformed
from perfwatch.probes.frames import Frame, StackTable
from perfwatch.probes.readers.span_messages import MAX_STACK, parse_message, span_of
from perfwatch.probes.records import decode, encode

GOOD = {
    "perfwatch": 1,
    "started_ns": 5_000_000_000,
    "ended_ns": 5_200_000_000,
    "tid": 12,
    "method": "GET",
    "target": "/users/7",
    "route": "/users/{user}",
    "status": 200,
    "error": None,
    "dropped": 3,
    "frames": [["app", "shop.py", 7, False], ["sleep", "", 0, True]],
    "stacks": [[1, 0], [0], []],
    "spent_ns": [150_000_000, 40_000_000, 1],
}
NOW_NS = 5_300_000_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


def parse(**changes):
    return parse_message(json.dumps({**GOOD, **changes}).encode())


def test_what_is_told_is_what_is_recorded():
    message = parse(unknown="from a later version")
    span = span_of(message, pid=11, is_inner=False, now_ns=NOW_NS)
    assert (span.at_ns, span.pid, span.tid) == (span.ended_ns, 11, 12)
    assert (span.method, span.target, span.route, span.status, span.error) == (
        "GET", "/users/7", "/users/{user}", 200, None,
    )  # fmt: skip
    frames = (Frame("app", "shop.py", 7), Frame("sleep", "", 0, is_native=True))
    assert span.code == StackTable(frames, ((1, 0), (0,), ()))
    assert span.spent_ns == (150_000_000, 40_000_000, 1)
    assert message.dropped == 3
    assert decode(encode(span)) == span


def test_least_is_enough():
    least = {name: GOOD[name] for name in ("perfwatch", "started_ns", "ended_ns", "tid", "target")}
    span = span_of(parse_message(json.dumps(least).encode()), pid=11, is_inner=True, now_ns=NOW_NS)
    assert (span.tid, span.method, span.code, span.spent_ns) == (None, None, StackTable(), ())


def test_an_old_span_does_not_take_the_stream_back():
    assert span_of(parse(), pid=1, is_inner=False, now_ns=NOW_NS + 60_000_000_000).at_ns == NOW_NS + 59_000_000_000


@pytest.mark.parametrize(
    "changes",
    [
        {"perfwatch": 2},
        {"perfwatch": None},
        {"started_ns": 5_200_000_001},
        {"started_ns": -1},
        {"ended_ns": 1 << 63},
        {"ended_ns": 10**400},
        {"started_ns": 1.5},
        {"tid": 0},
        {"tid": "12"},
        {"target": None},
        {"target": "x" * 257},
        {"route": "x" * 257},
        {"method": ["GET"]},
        {"status": 1000},
        {"dropped": -1},
        {"dropped": 1 << 40},
        {"stacks": [[2], [0], [0]]},
        {"stacks": [[-1], [0], [0]]},
        {"stacks": [[1, 0]]},
        {"stacks": [[0] * (MAX_STACK + 1), [0], []]},
        {"stacks": [[]] * 1025, "spent_ns": [0] * 1025},
        {"spent_ns": [1 << 61, 1, 1]},
        {"spent_ns": [-1, 1, 1]},
        {"frames": [["app", "shop.py", 7, False]] * 4097},
        {"frames": [["app", "shop.py", 7], ["sleep", "", 0, True]]},
        {"frames": [["x" * 257, "shop.py", 7, False], ["sleep", "", 0, True]]},
        {"frames": [["app", "shop.py", -7, False], ["sleep", "", 0, True]]},
        {"frames": {}},
    ],
)
def test_what_cannot_be_is_refused(changes):
    with pytest.raises(Malformed):
        parse(**changes)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"x":' * 10_000,
        b'{"target":"\xff"}',
        b'{"target":"\\ud800"}',
        json.dumps(GOOD).encode()[:-1],
        json.dumps(GOOD).encode() + b"{}",
        b"0" * 60_000,
    ],
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(Malformed):
        parse_message(data)


def test_a_span_of_the_future_is_refused():
    with pytest.raises(Malformed):
        span_of(parse(), pid=1, is_inner=False, now_ns=GOOD["ended_ns"] - 1)


@settings(max_examples=300)
@given(
    st.binary(max_size=200) | st.dictionaries(st.sampled_from(sorted(GOOD)), JSON).map(lambda some: {**GOOD, **some})
)
def test_anything_else_is_refused_or_makes_a_record(data):
    try:
        message = parse_message(data if isinstance(data, bytes) else json.dumps(data).encode("utf-8", "surrogatepass"))
        span = span_of(message, pid=1, is_inner=False, now_ns=1 << 62)
    except Malformed:
        return
    assert decode(encode(span)) == span
    assert all(span.code.stack(place) is not None for place in range(len(span.spent_ns)))
