"""A flame graph's data: nothing is lost, functions stand once on a path, and reasons can be looked at alone."""

import stacked
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.agent.flame import MAX_STACKS, choices_of, flame_of
from perfwatch.agent.model import StackTime
from perfwatch.agent.trees.branches import branch_of
from perfwatch.agent.trees.reasons import UNKNOWN
from perfwatch.agent.trees.session import session_of
from perfwatch.probes.frames import Frame
from perfwatch.probes.records import BUCKETS

MS = 1_000_000


def walk(block, path=()):
    yield path, block
    for below in block.blocks:
        yield from walk(below, (*path, below.name))


def totals(block):
    return {path: below.spent_ns for path, below in walk(block)}


def test_an_order_is_told_down_to_why_it_waited():
    spent = {" > ".join(path[-2:]): ns / MS for path, ns in totals(flame_of(stacked.shop_stacks())).items()}
    assert spent[""] == 512
    assert spent["7 of threading, gunicorn, flask > place_order"] == 501
    assert spent["place_order > Cache.get"] == spent["Cache.get > lock"] == 391
    assert spent["place_order > gc"] == 4
    assert spent["queue"] == 9
    assert spent[UNKNOWN] == 2


def test_it_says_the_same_as_the_call_tree_that_pyinstrument_makes():
    stacks = stacked.shop_stacks()
    ours = {(path, below.spent_ns) for path, below in walk(flame_of(stacks, is_folded=False))}

    def theirs(branch, path=()):
        yield path, branch.spent_ns
        for below in branch.branches:
            yield from theirs(below, (*path, below.name.strip("[]") if below.reason else below.name))

    root = branch_of(session_of(stacks, "all"))
    # A function that only ran has no branch for that, and no block here: where it waited too, theirs has one.
    missing = {(path, ns) for path, ns in theirs(root) if path[-1:] != ("on_cpu",)} - ours
    assert missing == set()


frames = st.lists(st.sampled_from("abcdefg"), min_size=0, max_size=6)


@given(
    st.lists(st.tuples(frames, st.sampled_from(BUCKETS), st.booleans(), st.integers(0, 9)), max_size=30), st.booleans()
)
def test_no_time_is_lost_nor_told_twice_whatever_the_stacks(told, is_folded):
    stacks = [
        StackTime(
            tuple(Frame(name, f"/{'srv' if name > 'd' else 'x/lib/python3.12'}/{name}.py", 1) for name in names),
            bucket, is_gc and bucket == "on_cpu", ns,
        )
        for names, bucket, is_gc, ns in told
    ]  # fmt: skip
    for choice in choices_of(stacks):
        root = flame_of(stacks, choice, is_folded=is_folded)
        assert root.spent_ns == choice.spent_ns
        for _, block in walk(root):
            below = sum(one.spent_ns for one in block.blocks)
            assert block.kind == "reason" or block.spent_ns == below + block.self_ns
            assert len({one.key for one in block.blocks}) == len(block.blocks)
    named = {one.name: one.spent_ns for one in choices_of(stacks)}
    assert named.get("on-CPU", 0) + named.get("off-CPU", 0) == named["all"]


def test_what_ran_and_what_waited_can_be_looked_at_alone_and_so_can_each_cause():
    chatty = StackTime(stacked.stack(stacked.ORDER), "calls", is_gc=False, spent_ns=5 * MS, mechanism="chatty")
    named = {one.name: one for one in choices_of((*stacked.shop_stacks(), chatty))}
    assert {name: one.spent_ns / MS for name, one in named.items()} == {
        "all": 517, "on-CPU": 27, "off-CPU": 490, "lock": 391, "calls": 71, "disk": 12, "queue": 9, "chatty": 5,
        "gc": 4, "other": 2,
    }  # fmt: skip
    assert {path[-1] for path in totals(flame_of(stacked.shop_stacks(), named["on-CPU"])) if path} == {
        "7 of threading, gunicorn, flask", "place_order", "json.loads", "gc",
    }  # fmt: skip


def test_very_many_stacks_are_told_as_far_as_they_are_large_and_the_rest_as_one():
    stacks = [
        StackTime((Frame(f"f{n}", "/srv/a.py", 1),), "lock", is_gc=False, spent_ns=n + 1) for n in range(MAX_STACKS + 7)
    ]
    root = flame_of(stacks)
    assert root.spent_ns == sum(range(1, MAX_STACKS + 8))
    assert len(root.blocks) == MAX_STACKS + 1
    assert next(one for one in root.blocks if one.kind == "untold").name == "[7 stacks too small to be told]"


def test_a_stack_as_deep_as_recursion_goes_is_cut_and_keeps_its_time():
    stack = StackTime((Frame("walk", "/srv/a.py", 1),) * 5_000, "on_cpu", is_gc=False, spent_ns=7)
    assert flame_of([stack]).spent_ns == 7
