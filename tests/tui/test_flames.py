"""The boxes of a flame graph: children lie within their parents, widths go by time, and nothing vanishes unsaid."""

from hypothesis import given
from hypothesis import strategies as st

from perfwatch.agent.flame import Block
from perfwatch.tui.flames import found, laid_out


def block(key, own, *below):
    spent = own + sum(one.spent_ns for one in below)
    below = tuple(sorted(below, key=lambda one: -one.spent_ns))
    return Block(key, "", key, "own", (("on_cpu", spent),), own, below)


def made(shape, key="root"):
    own, children = shape
    return block(key, own, *(made(child, str(number)) for number, child in enumerate(children)))


shapes = st.recursive(
    st.tuples(st.integers(1, 50), st.just(())),
    lambda inner: st.tuples(st.integers(0, 50), st.lists(inner, min_size=1, max_size=5)),
    max_leaves=40,
)


@given(shapes, st.integers(1, 200))
def test_children_lie_in_their_parents_and_every_block_is_in_a_box_or_in_a_rest_that_says_how_many(shape, width):
    root = made(shape)
    rows = laid_out(root, (), width)
    for above, row in zip([None, *rows], rows, strict=False):
        at = 0
        for box in row:
            assert box.width >= 1
            assert box.begin >= at
            at = box.begin + box.width
            if above is not None:
                parent = next(one for one in above if one.path == box.path[:-1])
                assert parent.begin <= box.begin
                assert at <= parent.begin + parent.width
                exact = box.spent_ns * parent.width / parent.spent_ns
                assert abs(box.width - max(exact, 1)) <= 1
        assert at <= width
    for box in (box for row in rows for box in row if box.block is not None):
        below = [one for row in rows for one in row if len(one.path) == len(box.path) + 1 and one.path[:-1] == box.path]
        assert sum(one.number for one in below) == len(box.block.blocks)
        assert sum(one.spent_ns for one in below) == sum(one.spent_ns for one in box.block.blocks)


def test_a_zoom_gives_a_block_the_whole_width_below_its_callers():
    tree = block("root", 0, block("a", 10, block("b", 5)), block("c", 85))
    rows = laid_out(tree, ("a",), 30)
    assert [[(box.path, box.begin, box.width) for box in row] for row in rows] == [
        [((), 0, 30)],
        [(("a",), 0, 30)],
        [(("a", "b"), 0, 10)],
    ]
    assert found(tree, ("a", "x", "y")) == ("a",)


def test_what_has_less_than_a_cell_is_one_box_of_a_cell():
    tree = block("root", 0, block("a", 97), block("b", 1), block("c", 2))
    _, row = laid_out(tree, (), 20)
    assert [(box.width, box.number, box.spent_ns) for box in row] == [(19, 1, 97), (1, 2, 3)]
