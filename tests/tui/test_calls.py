"""The calls of a request on its screen, and who kept its loop."""

import asking
import making as m
import msgspec
import pytest
from fakes import SECOND, START_NS, FakeSource, generate, session_info
from tui_driving import opened, scenario, screen, settled, shows, until

from perfwatch.probes.records import ServedRequest
from perfwatch.tui.widgets.calls import CallRows

SMALL, TALL = (80, 24), (120, 44)
FOLDED = "12 x"


def of(*records, **fields):
    return FakeSource(sorted(records, key=lambda one: one.at_ns), info=m.info(**fields))


def order(request_id=1, at_ms=1000.0):
    first = asking.call(at_ms - 480, 20, connect=5, tls=5)
    more = [asking.call(at_ms - 480 + 30 * n, 30) for n in range(1, 12)]
    last = asking.refused(at_ms - 120, 120, peer=asking.REDIS)
    return asking.asks(m.served(request_id, at_ms, on_cpu=120, calls=480, target="/order"), first, *more, last)


def rows_of(pilot):
    return pilot.app.screen.query_one(CallRows)


@scenario
async def test_where_there_is_little_room_one_line_tells_the_largest():
    async with opened(of(order()), size=SMALL) as pilot:
        await pilot.press("tab", "enter")
        await shows(pilot, "calls  12 x 30 ms SELECT * FROM t WHERE id = ?  120 ms (opera")
        assert "d each call" in screen(pilot)


@scenario
async def test_d_shows_each_call_in_place_of_the_rest_and_d_goes_back():
    async with opened(of(order()), size=SMALL) as pilot:
        await pilot.press("tab", "enter", "d")
        await shows(pilot, "+120 ms    30 ms  SELECT * FROM t WHERE id = ?")
        lines = screen(pilot).splitlines()
        assert sum("SELECT * FROM t" in line for line in lines) == 13
        assert "where the time went" not in screen(pilot)
        await pilot.press("d")
        await shows(pilot, "where the time went")
        assert FOLDED in screen(pilot)


@scenario
async def test_the_call_under_the_cursor_is_told_in_full():
    async with opened(of(order()), size=SMALL) as pilot:
        await pilot.press("tab", "enter", "d")
        await shows(pilot, "postgresql 10.0.0.5:5432  new connection  60 B")
        await shows(pilot, "+ connect 5.0 ms  # tls 5.0 ms  ░ wait 20 ms")
        await pilot.press("end")
        await shows(pilot, "(operation not known) (failed)  postgresql 10.0.0.6:6379  new")


@scenario
async def test_what_was_late_in_its_own_process_is_told():
    late = asking.call(700, 100, transfer=200, read_ns=m.START + 950 * m.MS)
    async with opened(of(asking.asks(m.served(1, 1000, calls=600), late)), size=SMALL) as pilot:
        await pilot.press("tab", "enter", "d")
        await shows(pilot, "unread for 150 ms")


@scenario
async def test_where_there_is_room_repeated_calls_are_rows_below_the_rest():
    async with opened(of(order()), size=TALL) as pilot:
        await pilot.press("tab", "enter")
        for part in ("where the time went", "12 x    30 ms    = 360 ms  SELECT * FROM t WHERE id = ?", "calls  13"):
            await shows(pilot, part)
        await pilot.press("tab", "enter")
        await shows(pilot, "+120 ms")
        await pilot.press("enter")
        await shows(pilot, FOLDED)


@scenario
async def test_a_click_on_the_line_opens_it():
    async with opened(of(order()), size=SMALL) as pilot:
        await pilot.press("tab", "enter")
        await shows(pilot, "d each call")
        await pilot.click(CallRows)
        await shows(pilot, "d back")


@scenario
async def test_the_tree_and_the_calls_give_way_to_each_other():
    async with opened(of(order()), size=SMALL) as pilot:
        await pilot.press("tab", "enter", "d", "t")
        await until(pilot, lambda: pilot.app.screen.has_class("-stack"))
        assert not rows_of(pilot).is_on_screen
        await pilot.press("d")
        await shows(pilot, "+120 ms")
        assert not pilot.app.screen.has_class("-stack")


@scenario
async def test_the_next_request_shows_its_own_calls_or_says_that_there_are_none():
    lost = asking.asks(m.served(3, 3000, ms=600, target="/lost"), calls_lost=5)
    async with opened(of(order(), m.served(2, 2000, ms=600, target="/quiet"), lost), size=SMALL) as pilot:
        await pilot.press("tab", "enter", "d")
        await shows(pilot, "calls  5 that are not told one by one any more")
        await pilot.press("[")
        await shows(pilot, "calls  none that was seen")
        await pilot.press("[")
        await shows(pilot, "+120 ms")
        await pilot.press("]", "d")
        await shows(pilot, "where the time went")
        assert "d each call" not in screen(pilot)


@scenario
async def test_what_has_not_ended_has_no_calls_yet():
    waiting = m.opened(9, 500, 2000, state="calls", call=None, peer=asking.POSTGRES)
    kept = m.opened(8, 900, 2000, state="loop", call=None)
    async with opened(of(m.in_flight(2000, kept, waiting)), size=SMALL) as pilot:
        await shows(pilot, "for 500 ms, on 10.0.0.5:5")
        assert "╲ loop" in screen(pilot)
        await pilot.press("tab", "tab", "enter", "d")
        await shows(pilot, "calls  told when it has ended")
        await pilot.press("d")
        await shows(pilot, "its state: loop for 900 ms")


@scenario
async def test_who_kept_the_loop_is_told_and_c_goes_there():
    culprits = (asking.culprit(9, 358), asking.culprit(7, 61, "/other"), *[asking.culprit(None, 2, None, None)] * 3)
    victim = msgspec.structs.replace(m.served(1, 1000, loop=425, on_cpu=175, target="/victim"), culprits=culprits)
    blocker = m.served(9, 900, sleep=580, target="/block")
    async with opened(of(blocker, victim), size=SMALL) as pilot:
        await pilot.press("tab", "enter")
        await shows(pilot, "loop kept by GET /block 358 ms")
        await shows(pilot, "kept by GET /other 61 ms, and 3 others 6.0 ms")
        await pilot.press("c")
        await shows(pilot, "GET /block   580 ms")


@scenario
async def test_as_many_calls_as_there_may_be_are_scrolled():
    calls = [asking.call(400 + n, 1, operation=f"SELECT {n}") for n in range(256)]
    record = asking.asks(m.served(1, 1000, calls=600), *calls, calls_lost=44)
    async with opened(of(record), size=SMALL) as pilot:
        await pilot.press("tab", "enter", "d", "end")
        await shows(pilot, "SELECT 255")
        await shows(pilot, "calls  256 and 44 that are not told")


@pytest.mark.parametrize("times", [(-(2**63), 2**63), (2**63, -(2**63)), (0, 2**63)])
@scenario
async def test_figures_out_of_this_world_are_drawn_within_the_screen(times):
    fields = dict(zip(("started_ns", "ended_ns"), times, strict=True))
    calls = [asking.call(400, 1, sent_bytes=-5, received_bytes=2**63, stack=2**40, read_ns=2**62, **fields)] * 9
    record = asking.asks(m.served(1, 1000, calls=600), *calls, culprits=(asking.culprit(2**63, -5e12),))
    async with opened(of(record), size=SMALL) as pilot:
        await pilot.press("tab", "enter")
        await shows(pilot, "kept by GET /block")
        await pilot.press("d", "end")
        await shows(pilot, "calls  9  d back")
        assert all(len(line) <= SMALL[0] for line in screen(pilot).splitlines())


@scenario
async def test_calls_come_while_the_recording_plays():
    """An order is drawn with its calls whichever frame it came with, and stays as it was while others come."""
    source = FakeSource(generate(30), info=session_info(), step_s=1.0)
    source.seek(START_NS + 2 * SECOND)
    source.pause(paused=True)
    async with opened(source, size=SMALL) as pilot:
        await pilot.press("tab", "enter", "d")
        await shows(pilot, "INSERT INTO orders")
        before = [line for line in screen(pilot).splitlines() if "+" in line and " ms " in line]
        source.pause(paused=False)
        await until(pilot, lambda: pilot.app.frame.view.now_ns - pilot.app.frame.view.first_ns > 28 * 10**9)
        await settled(pilot)
        assert [line for line in screen(pilot).splitlines() if "+" in line and " ms " in line] == before
        assert sum(isinstance(one, ServedRequest) and bool(one.calls) for one in generate(30)) > 50


@scenario
async def test_an_endpoint_says_what_each_of_its_requests_asks():
    async with opened(FakeSource(generate(30), info=session_info()), size=(100, 30)) as pilot:
        await pilot.press("enter")
        await shows(pilot, "calls  12 x 3.7 ms SELECT name, price FROM items WHERE id = ?   1 x 27 ms INSERT INTO")
        await pilot.press("escape", "down", "enter")
        await shows(pilot, "GET /search   ")
        assert "calls  " not in screen(pilot)
