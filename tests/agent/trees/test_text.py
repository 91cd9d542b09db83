"""A tree as text: what a terminal shows of it, and that nothing of the target is obeyed by one."""

import json
import re

import pytest
import stacked
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.agent.model import StackTime
from perfwatch.agent.report_cells import cells
from perfwatch.agent.trees.formats import to_json
from perfwatch.agent.trees.session import session_of
from perfwatch.agent.trees.text import tree_text
from perfwatch.probes.frames import Frame

STYLES = re.compile(r"\x1b\[[0-9;]*m")
EVIL = "x\x1b[2J\x07\r\n\u202e\0\x01\udc80</script>"
SHOP = """\
512 ms  100 %  POST /order/8812
├─ 501 ms  98 %  Thread._bootstrap_inner  threading.py:1073
│     [5 frames hidden]  threading, gunicorn, flask
│        501 ms  98 %  Flask.dispatch_request  flask/app.py:902
│        └─ 501 ms  98 %  place_order  orders.py:41
│           ├─ 391 ms  76 %  Cache.get  cache.py:61
│           │  └─ 391 ms  76 %  [lock]  blocked on another lock
│           ├─ 71 ms  14 %  fetch  db.py:12
│           │  └─ 71 ms  14 %  Cursor.execute  psycopg2/extensions.py:99
│           │     └─ 71 ms  14 %  recv  libpq.so.5
│           │        └─ 71 ms  14 %  [calls]  waited for another process
│           ├─ 14 ms  3 %  json.loads
│           ├─ 12 ms  2 %  [disk]  line 55: blocked on block I/O
│           └─ 9.0 ms  2 %  [on_cpu]  ran itself
└─ 9.0 ms  2 %  [queue]  waited in the socket until a thread read it
"""


def shop():
    return session_of(stacked.shop_stacks(), "POST /order/8812", 1_790_000_000)


def evil():
    frames = (Frame(EVIL, EVIL, 1), Frame(EVIL, "/" + EVIL, 2, is_native=True))
    return session_of([StackTime(frames, "lock", False, 10**9)], EVIL)


def test_the_shop():
    assert tree_text(shop(), 100) == SHOP


def test_colours_change_nothing_else():
    coloured = tree_text(shop(), 100, color=True)
    assert "\x1b[" in coloured
    assert [line.rstrip() for line in STYLES.sub("", coloured).splitlines()] == SHOP.splitlines()


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("width", [1, 20, 72, 100])
def test_no_line_is_wider_than_asked(width, color):
    wide = Frame("漢" * 40, "/srv/" + "字" * 40 + ".py", 1)
    session = session_of([*stacked.shop_stacks(), StackTime((wide, wide), "lock", False, 10**9)], "漢" * 60)
    lines = tree_text(session, width, color=color).splitlines()
    assert max(cells(STYLES.sub("", line)) for line in lines) <= width
    assert all(not STYLES.search(line) or line.endswith("\x1b[0m") for line in lines)


@pytest.mark.parametrize("color", [False, True])
def test_hostile_names_are_text(color):
    text = tree_text(evil(), 200, color=color)
    assert STYLES.sub("", text).replace("\n", "").isprintable()
    assert r"x\x1b[2J\x07\x0d\x0a\u202e\x00\x01\udc80</script>" in text


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_name_stays_on_its_line(name, file):
    text = tree_text(session_of([StackTime((Frame(name, file, 3),), "disk", False, 10**9)], "all"), 100)
    assert len(text.splitlines()) == 3
    assert text.replace("\n", "").isprintable()


def test_as_json():
    tree = json.loads(to_json(shop()))
    assert (tree["duration"], tree["root_frame"]["time"]) == (0.512, 0.512)


def test_hostile_names_can_be_written_as_json():
    text = to_json(evil())
    assert "\x1b" not in text.encode("utf-8").decode()
    json.loads(text)
