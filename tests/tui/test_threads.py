"""The page of threads: what each does and did, who holds what they wait for, the stack of one."""

import re

import msgspec
import pytest
import runtimes
from fakes import SECOND, FakeSource, generate, session_info
from tui_driving import open_page, opened, scenario, screen, settled, shows, until

from perfwatch.agent.model import ProbeStatus
from perfwatch.tui.screens.overview import OverviewScreen
from perfwatch.tui.screens.threads import ThreadsScreen
from perfwatch.tui.widgets import thread_rows
from perfwatch.tui.widgets.thread_rows import ThreadRows, strip, whole_strip


def page(*, size=(120, 40), info=None, **changes):
    stream = FakeSource(generate(5), info=info or session_info())
    return opened(stream, size=size, judge_factory=runtimes.judge(**changes))


def row_of(pilot, name):
    [row] = [line for line in screen(pilot).splitlines() if re.match(rf".{{3}}\d+ +{name} ", line)]
    return row


@scenario
async def test_each_thread_is_a_row_with_its_minute():
    async with page() as pilot:
        await open_page(pilot, "3", ThreadsScreen)
        text = screen(pilot)
        rows = {name: row_of(pilot, name) for name in ("worker_0", "worker_2", "worker_3", "worker_6", "unread")}
    for name in runtimes.PLANTED:
        assert name in text
    assert "   ████▓▓██▓▓▓███▓▓█▓▓██▓█▓████▓▓█▓▓███▓███" in rows["worker_2"]
    assert "✗ deadlock" in rows["worker_0"]
    assert "█ cpu" in rows["worker_2"]
    assert "◆" in rows["worker_2"]
    assert "▓ gil" in rows["worker_3"]
    assert "▄▄▄▄▀▀▀▀" in rows["worker_6"]
    assert rows["unread"].endswith("·" * 40)
    assert "· unknown" in rows["unread"]


@scenario
async def test_who_holds_what_they_wait_for_is_said_above():
    async with page(size=(160, 45)) as pilot:
        await open_page(pilot, "3", ThreadsScreen)
        text = screen(pilot)
    assert "gil  held 80 % (worker_2 60 %, worker_3 20 %)   ◆ worker_2 has it   1 waiting: worker_3" in text
    assert "locks  in the last minute others waited for refresher 7.71 s (23x)" in text
    assert "now  2 ─ idle  2 ▒ lock" in text
    assert text.count("deadlock: worker_0 (tid 4315) in Cache.get() at cache.py:61 waits for worker_1") == 1


@scenario
async def test_the_thread_under_the_cursor_is_told_below_and_enter_shows_its_whole_stack():
    async with page() as pilot:
        await open_page(pilot, "3", ThreadsScreen)
        rows = pilot.app.screen.query_one(ThreadRows)
        await pilot.press(*["down"] * rows.keys.index("4313/4315"))
        await shows(
            pilot, "worker_0  thread 4315 of process 4313   ▒ lock for 391 ms, in futex   serves POST /order/8812"
        )
        text = screen(pilot)
        assert "last 10 s   ran 5.0 %" in text
        assert "which waits for worker_0 (tid 4315), for 42 s" in " ".join(text.split())
        assert "Cache.get  /srv/shop/cache.py:61" in text
        await pilot.press("enter")
        await until(pilot, lambda: not rows.display)
        assert "Thread.run  /usr/local/lib/python3.12/threading.py:1010" in screen(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: rows.display)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))


@scenario
async def test_rows_are_sorted_by_what_one_looks_for():
    async with page() as pilot:
        await open_page(pilot, "3", ThreadsScreen)
        rows = pilot.app.screen.query_one(ThreadRows)
        orders = []
        for _ in rows.ORDERS:
            orders.append([rows.item(key).name for key in rows.keys])
            await pilot.press("o")
            await settled(pilot)
    by_busy, by_cpu, by_gil, by_name = orders
    assert by_busy[0] == by_cpu[0] == by_gil[0] == "worker_2"
    assert set(by_busy[-2:]) == {"MainThread", "worker_7"}
    assert by_name == sorted(runtimes.PLANTED)


@scenario
async def test_without_stacks_it_says_why():
    reason = "the target's memory may not be read by this user"
    limited = ProbeStatus("stacks", "unavailable", reason, "what the code does", "run perfwatch as root")
    bare = tuple(msgspec.structs.replace(one, stack=(), stack_ns=None) for one in runtimes.threads(10 * SECOND))
    async with page(info=session_info(probes=(limited,)), threads=bare) as pilot:
        await open_page(pilot, "3", ThreadsScreen)
        text = screen(pilot)
    assert f"stacks are not read: {reason} (run perfwatch as root)" in text
    assert text.count(reason) == 2, "above, and where the stack would be"


@scenario
async def test_a_session_without_threads_says_so():
    async with page(threads=(), deadlocks=()) as pilot:
        await open_page(pilot, "3", ThreadsScreen)
        assert "the threads of the target were not read yet" in screen(pilot)


@scenario
async def test_of_many_threads_only_those_that_are_seen_are_drawn(monkeypatch):
    drawn = []
    draw = ThreadRows.row
    monkeypatch.setattr(ThreadRows, "row", lambda rows, item, width: drawn.append(item.tid) or draw(rows, item, width))
    many = tuple(runtimes.thread("worker_2", 9 * SECOND, tid=5000 + n, name=f"w{n}") for n in range(200))
    async with page(size=(100, 30), threads=many) as pilot:
        await open_page(pilot, "3", ThreadsScreen)
        seen = pilot.app.screen.query_one(ThreadRows).size.height
        assert set(drawn) <= set(range(5000, 5000 + seen))
        drawn.clear()
        same = pilot.app.frame
        pilot.app.screen.frame = msgspec.structs.replace(same, view=msgspec.structs.replace(same.view, count=1))
        await settled(pilot)
        assert drawn == [], "nothing that is seen has changed"


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (130, 40), (250, 80)])
@scenario
async def test_no_line_is_wider_than_the_terminal(size):
    long = tuple(
        runtimes.thread(name, 9 * SECOND, tid=n, name="name " * 40, serves="GET /" + "x" * 300)
        for n, name in enumerate(runtimes.PLANTED)
    )
    async with page(size=size, threads=long) as pilot:
        await open_page(pilot, "3", ThreadsScreen)
        lines = screen(pilot).splitlines()
    assert max(map(len, lines)) <= size[0]
    assert len(lines) == size[1]


def test_a_strip_has_a_cell_for_each_second_and_says_nothing_of_what_it_does_not_know():
    assert strip(runtimes.stretches("LL#", 9 * SECOND), 6).plain == "   ▒▒█"
    assert strip(runtimes.stretches("LL#", 9 * SECOND), 2).plain == "▒█"
    assert strip((), 3).plain == "   "
    late = thread_rows.strip((runtimes.Stretch(0, 30 * SECOND, (("lock", 30 * SECOND),)),), 8)
    assert late.plain == "▒" * 8
    assert strip(runtimes.stretches("LL#", 9 * SECOND), 0).plain == ""


def test_a_strip_of_a_window_reaches_from_its_begin_to_its_end():
    past = runtimes.stretches("LL##", 9 * SECOND)
    assert whole_strip(past, (5 * SECOND, 9 * SECOND), 2).plain == "▒█"
    assert whole_strip(past, (5 * SECOND, 9 * SECOND), 8).plain == "▒▒▒▒████"
    assert whole_strip(past, (SECOND, 13 * SECOND), 6).plain == "  ▒█  "
    assert whole_strip((), (0, SECOND), 3).plain == "   "
    assert not whole_strip(past, (0, SECOND), 0).plain
