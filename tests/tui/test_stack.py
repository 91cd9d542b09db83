"""The stack of a request and of an endpoint on their screens."""

import msgspec
import pytest
import stacked
from fakes import FakeSource, generate, session_info
from judging import judge_that_shows
from tui_driving import opened, scenario, screen, settled, shows, until

from perfwatch.agent.model import ProbeStatus, ServedRequest
from perfwatch.probes.frames import Frame
from perfwatch.probes.records import InFlight
from perfwatch.tui.widgets.stack import StackRows
from perfwatch.tui.widgets.waterfall import Waterfall

SMALL, TALL = (80, 24), (120, 40)
ONE_LINE = "stack  place_order"
TREE = ("7 functions of threading, gunicorn, flask", "▾ place_order  orders.py:41", "▒ lock  blocked on another lock")
Judge = judge_that_shows(stacked.with_endpoint_stacks)


def source(records=None, **info):
    return FakeSource(generate(30) if records is None else records, info=session_info(**info))


def with_code(*, size, records=None):
    return opened(source(records), size=size, judge_factory=Judge)


@scenario
async def test_where_there_is_little_room_one_line_tells_the_path_and_t_shows_the_tree():
    async with with_code(size=SMALL) as pilot:
        await pilot.press("tab", "enter")
        await shows(pilot, ONE_LINE)
        assert "▸ Cache.get" in screen(pilot)
        assert not any(part in screen(pilot) for part in TREE)
        await pilot.press("t")
        for part in TREE:
            await shows(pilot, part)
        assert isinstance(pilot.app.focused, StackRows)
        assert "where the time went" not in screen(pilot)
        await pilot.press("t")
        await shows(pilot, "where the time went")
        assert isinstance(pilot.app.focused, Waterfall)


@scenario
async def test_tab_and_enter_lead_there_too_and_a_click_does():
    async with with_code(size=SMALL) as pilot:
        await pilot.press("tab", "enter")
        await shows(pilot, ONE_LINE)
        await pilot.press("tab", "tab", "enter")
        await shows(pilot, TREE[0])
        await pilot.press("t")
        await shows(pilot, ONE_LINE)
        await pilot.click(StackRows)
        await shows(pilot, TREE[0])


@scenario
async def test_where_there_is_room_the_tree_stands_below_the_rest():
    async with with_code(size=TALL) as pilot:
        await pilot.press("tab", "enter")
        for part in (*TREE, "where the time went", "ledger"):
            await shows(pilot, part)


@scenario
async def test_enter_unfolds_closes_and_opens():
    async with with_code(size=SMALL) as pilot:
        await pilot.press("tab", "enter", "t", "enter")
        await shows(pilot, "Thread.run")
        await pilot.press("enter")
        await until(pilot, lambda: "Thread.run" not in screen(pilot))
        await pilot.press("down", "enter")
        await shows(pilot, "▸ place_order")
        assert "Cache.get" not in screen(pilot)
        await pilot.press("enter")
        await shows(pilot, "▾ place_order")
        await pilot.click(StackRows, offset=(40, 1), times=2)
        await shows(pilot, "Thread.run")


@scenario
async def test_an_endpoint_has_one_too_and_enter_still_opens_its_requests():
    async with with_code(size=SMALL) as pilot:
        await pilot.press("enter")
        await shows(pilot, ONE_LINE)
        await pilot.press("t")
        await shows(pilot, "mean of 74 requests")
        mean = next(line for line in screen(pilot).splitlines() if "place_order" in line)
        assert "429 ms" in mean
        await pilot.press("t", "enter")
        await shows(pilot, "where the time went")


@scenario
async def test_the_tree_follows_to_the_next_request():
    async with with_code(size=SMALL) as pilot:
        await pilot.press("tab", "enter", "t")
        await shows(pilot, "place_order")
        await pilot.press(*"[[[[[[[[")
        await shows(pilot, "rank")
        assert "place_order" not in screen(pilot)


@scenario
async def test_an_endpoint_that_changes_keeps_what_was_opened_and_is_drawn_at_intervals(monkeypatch):
    drawn = []
    monkeypatch.setattr(StackRows, "_refill", lambda self, fill=StackRows._refill: (drawn.append(1), fill(self)))
    async with opened(
        FakeSource(generate(30), info=session_info(), step_s=1.0), size=SMALL, judge_factory=Judge
    ) as pilot:
        await pilot.press("enter", "t")
        await until(pilot, lambda: pilot.app.frame.view.now_ns - pilot.app.frame.view.first_ns > 28 * 10**9)
        await settled(pilot)
        assert 1 <= len(drawn) <= 3


@scenario
async def test_a_request_in_flight_shows_its_stack():
    stack = tuple(reversed((*stacked.OUTER, stacked.ORDER, stacked.CACHE)))
    records = [
        msgspec.structs.replace(
            record, requests=tuple(msgspec.structs.replace(one, stack=stack) for one in record.requests)
        )
        if isinstance(record, InFlight)
        else record
        for record in generate(30)
    ]
    async with opened(source(records), size=SMALL) as pilot:
        await pilot.press("tab", "tab", "enter")
        await shows(pilot, "▸ Cache.get 21.7 s ▸ ▒ lock 21.7 s")


@pytest.mark.parametrize(
    ("probes", "why"),
    [
        ((), "no stacks were recorded; `perfwatch doctor` says what stacks"),
        ((ProbeStatus("stacks", "unavailable", "no table of 3.14"),), "no stacks were recorded: no table of 3.14; "),
    ],
)
@scenario
async def test_without_a_stack_it_says_why(probes, why):
    async with opened(source(probes=probes), size=SMALL) as pilot:
        await pilot.press("tab", "enter")
        await shows(pilot, f"stack  {why}")
        await pilot.press("escape", "shift+tab", "enter")
        await shows(pilot, f"stack  {why}")
        await pilot.press("escape", "end", "enter")
        await shows(pilot, "stack  none of its requests was judged")


@scenario
async def test_of_an_event_loop_it_says_why():
    records = [
        msgspec.structs.replace(one, threads="shared") if isinstance(one, ServedRequest) else one
        for one in generate(30)
    ]
    async with opened(source(records), size=(100, 30)) as pilot:
        await pilot.press("tab", "enter")
        await shows(pilot, "stack  its thread served other requests meanwhile: no stack is its alone")


@scenario
async def test_library_code_that_does_the_work_itself_is_told_by_its_ends():
    frames = [Frame(name, f"{stacked.STDLIB}/json/decoder.py", 1) for name in ("loads", "decode", "raw_decode")]
    told = [stacked.time("on_cpu", 90, stacked.ORDER, *frames), stacked.time("lock", 9, stacked.ORDER)]

    def decoding(view):
        requests = tuple(msgspec.structs.replace(one, stacks=tuple(told)) for one in view.requests)
        return msgspec.structs.replace(view, requests=requests)

    async with opened(source(), size=(100, 30), judge_factory=judge_that_shows(decoding)) as pilot:
        await pilot.press("tab", "enter", "t")
        await shows(pilot, "▸ loads … raw_decode  3 functions of json")


@scenario
async def test_a_request_in_flight_whose_stack_is_not_known_says_so():
    async with opened(source(), size=SMALL) as pilot:
        await pilot.press("tab", "tab", "enter")
        await shows(pilot, "stack  what its thread executes is not known")
