"""What py-spy prints is the target's to choose: any of it is parsed, or refused."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perfwatch.probes.errors import Malformed
from perfwatch.probes.frames import MAX_FRAME_CHARS, Frame
from perfwatch.probes.stacks.pyspy_dump import MAX_DEPTH, MAX_NAME_CHARS, MAX_THREADS, parse_dump

FRAME = {
    "name": "f",
    "filename": "/srv/shop.py",
    "module": None,
    "short_filename": "shop.py",
    "line": 7,
    "locals": None,
}
THREAD = {"pid": 1, "thread_id": 1 << 47, "thread_name": "a", "os_thread_id": None, "active": True, "owns_gil": False}


def dump(*threads):
    return json.dumps([{**THREAD, "frames": [FRAME], **thread} for thread in threads]).encode()


def frames(*changes):
    return {"frames": [{**FRAME, **change} for change in changes]}


def test_a_thread_of_an_old_python():
    (thread,) = parse_dump(dump({}))
    assert thread.frames == (Frame("f", "/srv/shop.py", 7),)
    assert (thread.pthread, thread.inner_tid, thread.name) == (1 << 47, None, "a")
    assert thread.is_active is None  # always told as true


def test_a_thread_with_native_frames_and_its_number():
    native = {"name": "select", "filename": "/lib/libc.so.6", "module": "/lib/libc.so.6", "line": 0}
    (thread,) = parse_dump(dump({"os_thread_id": 5, "active": False, "thread_name": None, **frames(native, {})}))
    assert thread.frames == (Frame("select", "/lib/libc.so.6", 0, is_native=True), Frame("f", "/srv/shop.py", 7))
    assert (thread.inner_tid, thread.name, thread.is_active, thread.root) == (5, None, False, thread.frames[1])


def test_bounds():
    long = "x" * 10_000
    deep = [{"name": str(depth)} for depth in range(5_000)]
    threads = parse_dump(dump(*[{"thread_name": long, **frames({"name": long, "filename": long})}] * (MAX_THREADS + 5)))
    assert len(threads) == MAX_THREADS
    assert len(threads[0].name) == MAX_NAME_CHARS
    assert {len(threads[0].frames[0].function), len(threads[0].frames[0].file)} == {MAX_FRAME_CHARS}
    (thread,) = parse_dump(dump(frames(*deep)))
    assert [frame.function for frame in thread.frames] == [str(depth) for depth in range(MAX_DEPTH)]
    assert thread.root.function == "4999"


def test_a_line_that_cannot_be_is_not_known():
    (thread,) = parse_dump(dump(frames({"line": -2_000_000_000})))
    assert thread.frames[0].line == 0


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[",
        b"{}",
        b"null",
        b"[1]",
        b"[{}]",
        b"\xff\xfe",
        dump({})[:-3],
        dump({"thread_id": -1}),
        dump({"thread_id": "1"}),
        dump({"thread_id": None}),
        dump({"os_thread_id": 0}),
        dump({"os_thread_id": 1 << 40}),
        dump({"thread_name": 7}),
        dump({"active": 1}),
        dump({"owns_gil": None}),
        dump({"frames": None}),
        dump(frames({"line": 1 << 40})),
        dump(frames({"line": 1.5})),
        dump(frames({"name": None})),
        dump({}).replace(b'"a"', b'"\xff"'),
        dump({}).replace(b'"locals": null', b'"locals": ' + b"[" * 100_000),
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(Malformed):
        parse_dump(text)


@given(st.integers(0, 2000), st.binary(max_size=8))
@example(0, b"[[")
def test_no_damage_raises_anything_else(place, damage):
    whole = dump({}, {"os_thread_id": 9, **frames({}, {"module": "/lib/x.so"})})
    place %= len(whole)
    with contextlib.suppress(Malformed):
        parse_dump(whole[:place] + damage + whole[place + len(damage) :])
