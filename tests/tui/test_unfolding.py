"""A call tree as rows: folded, opened, closed; and the path that is told where there is no room for it."""

import stacked

from perfwatch.agent.model import StackTime
from perfwatch.agent.trees.branches import branch_of
from perfwatch.agent.trees.session import session_of
from perfwatch.probes.frames import Frame
from perfwatch.tui.unfolding import Shape, libraries, main_path, rows_of

MS = 1_000_000
PLAIN = Shape()


def tree(stacks):
    return branch_of(session_of(stacks, "all"))


def drawn(root, shape=PLAIN):
    """Rows as (depth, name) with how they are folded."""
    return [
        (row.depth, f"{len(row.folded)} of {libraries(row.folded)}" if row.folded else row.branch.name)
        for _, row in rows_of(root, shape)
    ]


def key_of(root, name, shape=PLAIN):
    return next(key for key, row in rows_of(root, shape) if name in {row.branch.name, *(b.name for b in row.folded)})


SHOP = tree(stacked.shop_stacks())
ROWS = [
    (0, "7 of threading, gunicorn, flask"),
    (1, "place_order"),
    (2, "Cache.get"),
    (3, "[lock]"),
    (2, "fetch"),
    (3, "Cursor.execute"),
    (4, "recv"),
    (5, "[calls]"),
    (2, "json.loads"),
    (2, "[disk]"),
    (2, "[on_cpu]"),
    (2, "[gc]"),
    (0, "[queue]"),
    (0, "[code not known]"),
]


def test_library_code_that_only_leads_to_own_code_is_one_row():
    assert drawn(SHOP) == ROWS


def test_what_is_small_is_closed_at_first():
    rows = dict(rows_of(SHOP, PLAIN))
    unknown = next(row for row in rows.values() if row.branch.name == "[code not known]")
    assert unknown.is_open is False
    assert [row.is_open for row in rows.values() if row.branch.name in {"place_order", "[lock]"}] == [True, None]


def choose(root, shape, name):
    key = key_of(root, name, shape)
    return shape.chosen(key, dict(rows_of(root, shape))[key])


def test_a_folded_row_unfolds_and_its_first_function_folds_it_again():
    unfolded = choose(SHOP, PLAIN, "Thread.run")
    names = [name for _, name in drawn(SHOP, unfolded)]
    assert names[:8] == [frame.function for frame in stacked.OUTER] + ["place_order"]
    assert drawn(SHOP, unfolded)[7] == (7, "place_order")
    assert choose(SHOP, unfolded, "Thread._bootstrap_inner") == PLAIN


def test_a_function_closes_and_opens_again():
    closed = choose(SHOP, PLAIN, "Cache.get")
    assert drawn(SHOP, closed) == [row for row in ROWS if row != (3, "[lock]")]
    assert choose(SHOP, closed, "Cache.get") == PLAIN
    opened = choose(SHOP, PLAIN, "[code not known]")
    assert drawn(SHOP, opened)[-1] == (1, "[other]")


def test_choosing_a_reason_changes_nothing():
    assert choose(SHOP, PLAIN, "[lock]") == PLAIN


def test_keys_stay_when_lines_and_order_change_and_are_never_twice():
    frames = [Frame("f", f"/v{n}/site-packages/x.py", 5 + n) for n in range(3)]
    before = tree([StackTime((frame, stacked.ORDER), "lock", False, 9 * MS) for frame in frames])
    keys = [key for key, _ in rows_of(before, PLAIN)]
    assert len(set(keys)) == len(keys) == 7
    other = [StackTime((Frame("place_order", stacked.ORDER.file, 50),), "disk", False, 99 * MS)]
    after = tree([*other, StackTime((stacked.ORDER,), "lock", False, 1 * MS)])
    assert key_of(after, "place_order") == key_of(before, "place_order")


def test_the_main_path_is_own_code_and_the_reason():
    assert [branch.name for branch in main_path(SHOP)] == ["place_order", "Cache.get", "[lock]"]
    search = tree([stacked.time("on_cpu", 90, stacked.SEARCH, *stacked.RANKED), stacked.time("queue", 9)])
    assert [branch.name for branch in main_path(search)] == ["search", "rank"]


def test_the_main_path_ends_where_the_time_forks():
    forked = [stacked.time(bucket, 10, stacked.ORDER, stacked.CACHE) for bucket in ("lock", "disk", "sleep")]
    assert [branch.name for branch in main_path(tree(forked))] == ["place_order", "Cache.get"]


def test_without_own_code_the_main_path_is_its_end():
    assert [branch.name for branch in main_path(tree([stacked.time("lock", 10)]))] == [
        "Flask.dispatch_request",
        "[lock]",
    ]
    assert [branch.name for branch in main_path(tree([stacked.time("queue", 10)]))] == ["[queue]"]
