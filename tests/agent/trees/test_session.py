"""Stacks become a pyinstrument session: what went in comes out, to the nanosecond, whatever the names are."""

import msgspec
import pytest
import stacked
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.agent.model import BUCKETS, StackTime
from perfwatch.agent.trees.branches import branch_of
from perfwatch.agent.trees.paths import MAX_DEPTH
from perfwatch.agent.trees.reasons import UNKNOWN
from perfwatch.agent.trees.session import session_of
from perfwatch.probes.frames import Frame

MS = 1_000_000
HOSTILE = (
    "</script><script>alert(1)</script>",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.exe\u2066",
    "two\nlines\r\n",
    "a\0b\0c",
    "x\x01cFake\x01h1",
    "[self]",
    "[root]",
    "[await]",
    "[out-of-context]",
    "\udc80",
    "",
    "é\u0301",
    "long" * 200,
)
NAMES = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12), st.sampled_from(["f", "g", "h"]))
FILES = st.one_of(NAMES, st.sampled_from([stacked.ORDER.file, f"{stacked.PACKAGES}/flask/app.py", "<frozen os>"]))
FRAMES = st.builds(Frame, NAMES, FILES, st.integers(-1, 1 << 31), st.booleans())
STACKS = st.lists(
    st.builds(
        StackTime,
        st.lists(FRAMES, max_size=6).map(tuple),
        st.sampled_from(BUCKETS),
        st.booleans(),
        st.integers(0, 10**13),
    ),
    max_size=12,
)


def nanoseconds(seconds):
    return round(seconds * 1e9)


def tree(stacks):
    return branch_of(session_of(stacks, "POST /order"))


def walk(branch):
    yield branch
    for below in branch.branches:
        yield from walk(below)


def named(branch, name):
    return next(one for one in walk(branch) if one.name == name)


@given(STACKS)
def test_a_tree_adds_up_to_the_stacks_it_was_made_of(stacks):
    session = session_of(stacks, "all")
    total = sum(stack.spent_ns for stack in stacks)
    root = session.root_frame()
    assert nanoseconds(session.duration) == total
    assert nanoseconds(sum(spent for _, spent in session.frame_records)) == total
    assert (nanoseconds(root.time) if root else 0) == total
    assert session.sample_count == sum(stack.spent_ns > 0 for stack in stacks)
    if root:
        root.self_check()


@given(STACKS)
def test_its_reasons_add_up_to_the_buckets(stacks):
    expected = {}
    for stack in stacks:
        reason = "gc" if stack.is_gc else stack.bucket
        expected[reason] = expected.get(reason, 0) + stack.spent_ns
    branch = tree(stacks)
    told = dict(branch.spent_on) if branch else {}
    for reason in expected.keys() | told.keys():
        assert told.get(reason, 0) == pytest.approx(expected.get(reason, 0), abs=50)


@given(STACKS)
def test_no_name_carries_a_control_into_the_session(stacks):
    session = session_of(stacks, "all")
    for path, _ in session.frame_records:
        for info in path:
            identifier, _, attributes = info.partition("\x01")
            name, file, line = identifier.split("\0")
            assert (name + file + attributes).isprintable()
            assert line.isdecimal()
            assert attributes[:1] in {"", "w"}
            assert "\x01" not in attributes


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_a_place_like_any_other(name):
    branch = tree([StackTime((Frame(name, name, 7), stacked.ORDER), "lock", False, 5 * MS)])
    assert [one.spent_ns for one in walk(branch)] == [5 * MS] * 4
    assert [one.reason for one in walk(branch)] == [None, None, None, "lock"]


def test_nothing_gives_no_tree():
    assert session_of([], "all").root_frame() is None
    assert tree([]) is None
    assert tree([StackTime((stacked.ORDER,), "lock", False, 0)]) is None


def test_the_order_of_the_shop():
    branch = tree(stacked.shop_stacks())
    assert branch.spent_ns == 512 * MS
    assert [(one.name, one.spent_ns) for one in branch.branches] == [
        ("Thread._bootstrap_inner", 501 * MS),
        ("[queue]", 9 * MS),
        (UNKNOWN, 2 * MS),
    ]
    order = named(branch, "place_order")
    assert [(one.name, one.place, one.spent_ns // MS) for one in order.branches] == [
        ("Cache.get", "cache.py:61", 391),
        ("fetch", "db.py:12", 71),
        ("json.loads", "", 14),
        ("[disk]", "line 55: blocked on block I/O", 12),
        ("[on_cpu]", "ran itself", 9),
        ("[gc]", "line 41: ran the garbage collector", 4),
    ]
    assert named(branch, "[lock]").place == "blocked on another lock"
    assert named(branch, "[other]").spent_ns == 2 * MS


def test_own_code_is_told_from_libraries_and_native_code():
    branch = tree(stacked.shop_stacks())
    own = {one.name for one in walk(branch) if one.is_own}
    assert own == {"place_order", "Cache.get", "fetch"}


def test_files_are_told_from_where_they_are_imported():
    places = {one.name: one.place for one in walk(tree(stacked.shop_stacks()))}
    assert places["Thread.run"] == "threading.py:1010"
    assert places["ThreadWorker.handle"] == "gunicorn/workers/gthread.py:281"
    assert places["recv"] == "libpq.so.5"


def test_a_function_stands_once_at_the_line_that_most_time_went_through():
    at = [msgspec.structs.replace(stacked.ORDER, line=line) for line in (10, 20, 30)]
    stacks = [StackTime((frame,), "on_cpu", False, ms * MS) for frame, ms in zip(at, (3, 9, 4), strict=True)]
    (order,) = tree(stacks).branches
    assert (order.place, order.spent_ns, order.branches) == ("orders.py:20", 16 * MS, ())


def test_functions_without_a_name_are_told_apart_by_their_lines():
    at = [Frame("Shop.__init__.<locals>.<lambda>", stacked.ORDER.file, line) for line in (120, 121)]
    branches = tree([StackTime((frame,), "sleep", False, frame.line * MS) for frame in at]).branches
    assert [branch.place for branch in branches] == ["orders.py:121", "orders.py:120"]


def test_one_function_in_two_files_is_two():
    frames = [Frame("main", f"/srv/{name}.py", 1) for name in "ab"]
    assert len(tree([StackTime((frame,), "on_cpu", False, MS) for frame in frames]).branches) == 2


def test_a_stack_that_is_too_deep_keeps_its_innermost_and_its_time():
    frames = tuple(Frame(f"f{depth}", "/srv/deep.py", 1) for depth in range(3 * MAX_DEPTH))
    branches = list(walk(tree([StackTime(frames, "lock", False, MS)])))
    assert branches[1].name == "[outer frames left out]"
    assert branches[-2].name == "f0"
    assert len(branches) == MAX_DEPTH + 3
    assert {one.spent_ns for one in branches} == {MS}


def test_a_function_cannot_pass_for_a_reason():
    fake = Frame("[lock]\x01wlock", "blocked on another lock", 0)
    reasons = [one.reason for one in walk(tree([StackTime((fake,), "on_cpu", False, MS)]))]
    assert reasons == [None, None]


def test_a_date_that_nobody_can_write_is_clamped():
    for claimed in (-1e30, 1e30):
        assert 0 <= session_of(stacked.shop_stacks(), "x", claimed).start_time < 253_402_300_800
