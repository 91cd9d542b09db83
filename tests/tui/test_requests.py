"""The page of all judged requests, and the filter that it shares with the overview."""

import pytest
from fakes import FakeSource, generate
from tui_driving import opened, scenario, screen, settled, shows, type_ahead, until

from perfwatch.tui.choices import Choices
from perfwatch.tui.screens.overview import OverviewScreen
from perfwatch.tui.screens.request import RequestScreen
from perfwatch.tui.screens.requests import RequestsScreen
from perfwatch.tui.widgets.endpoints import EndpointRows
from perfwatch.tui.widgets.filter_box import FilterBox
from perfwatch.tui.widgets.request_table import RequestTable, columns
from perfwatch.tui.widgets.requests import RequestRows


def source():
    return FakeSource(generate(30))


async def on_the_page(pilot):
    await pilot.press("2")
    await until(pilot, lambda: isinstance(pilot.app.screen, RequestsScreen) and table(pilot).keys)
    await settled(pilot)
    return table(pilot)


def table(pilot):
    return pilot.app.screen.query_one(RequestTable)


def listed(pilot):
    rows = table(pilot)
    return [rows.item(key) for key in rows.keys]


@scenario
async def test_all_judged_requests_are_listed_the_newest_first_and_slow_ones_are_marked():
    async with opened(source(), size=(120, 30)) as pilot:
        judged = pilot.app.frame.view.requests
        await on_the_page(pilot)
        text = screen(pilot)
        assert [one.record.id for one in listed(pilot)] == [one.record.id for one in judged][::-1]
        lines = text.splitlines()
    assert f"judged requests {len(judged)} of 600   ▲ slow 6" in text
    [heading] = [line for line in lines if "where the time went" in line]
    assert heading.split()[:6] == ["time", "▼", "request", "status", "took", "cause"]
    marked = [line for line in lines if "▲ POST" in line]
    shown = judged[::-1][: sum("/" in line and ":" in line[:12] for line in lines)]
    assert len(marked) == sum(one.slow for one in shown)


@scenario
async def test_o_sorts_by_the_next_column_and_its_capital_turns_it_round():
    async with opened(source(), size=(120, 30)) as pilot:
        rows = await on_the_page(pilot)
        await pilot.press("o")
        await shows(pilot, "took ▼")
        took = [one.ledger.total_ns for one in listed(pilot)]
        assert took == sorted(took, reverse=True)
        await pilot.press("O")
        await shows(pilot, "took ▲")
        assert [one.ledger.total_ns for one in listed(pilot)] == took[::-1]
        await pilot.press("end")
        longest = rows.chosen
        await pilot.press("O")
        await shows(pilot, "took ▼")
        assert rows.chosen == longest
        assert rows.cursor == 0
        await pilot.press("1", "2")
        await shows(pilot, "took ▼")
    assert pilot.app.choices == Choices("took")


@pytest.mark.parametrize("width", [80, 160])
@scenario
async def test_a_click_on_a_heading_sorts_by_it_and_a_second_one_turns_it_round(width):
    async with opened(source(), size=(width, 24)) as pilot:
        rows = await on_the_page(pilot)
        for name, order in (("took", "took"), ("status", "status"), ("cause", "cause"), ("request", "endpoint")):
            line = next(line for line in screen(pilot).splitlines() if "status" in line)
            at = (line.index(name) + 1, 0)
            await pilot.click(rows, offset=at)
            await until(pilot, lambda order=order: pilot.app.choices == Choices(order))
            await pilot.click(rows, offset=at)
            await until(pilot, lambda order=order: pilot.app.choices == Choices(order, reverse=True))
        assert isinstance(pilot.app.screen, RequestsScreen)


@scenario
async def test_the_filter_holds_on_both_pages_and_escape_lifts_it_then_leads_back():
    async with opened(source(), size=(120, 30)) as pilot:
        await on_the_page(pilot)
        await pilot.press("/", *"cause:cpu took<80ms", "enter")
        await until(pilot, lambda: pilot.app.choices.filter == "cause:cpu took<80ms")
        await settled(pilot)
        kept = [one.record.id for one in listed(pilot)]
        expected = [
            one.record.id
            for one in pilot.app.frame.view.requests
            if one.verdict.mechanism == "cpu" and one.ledger.total_ns < 80_000_000
        ]
        assert kept == expected[::-1]
        assert f"filter cause:cpu took<80ms  {len(kept)} listed" in screen(pilot)
        assert isinstance(pilot.app.focused, RequestTable)
        await pilot.press("1")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))
        await until(pilot, lambda: len(pilot.app.screen.query_one(RequestRows).keys) == len(kept))
        await settled(pilot)
        assert pilot.app.screen.query_one(EndpointRows).keys == ()
        assert "cause:cpu took<80ms" in screen(pilot)
        await pilot.press("2", "escape")
        await until(pilot, lambda: pilot.app.choices.filter == "")
        assert isinstance(pilot.app.screen, RequestsScreen)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))
        await until(pilot, lambda: len(pilot.app.screen.query_one(EndpointRows).keys) == 3)


@pytest.mark.parametrize("page", ["1", "2"])
@scenario
async def test_a_filter_that_is_typed_ahead_goes_into_its_line(page):
    async with opened(source(), size=(120, 30)) as pilot:
        await pilot.press(page)
        await settled(pilot)
        shown = pilot.app.screen
        type_ahead(pilot, "//order/ p")
        await until(pilot, lambda: pilot.app.choices.filter == "/order/ p")
        assert pilot.app.screen is shown
        assert not pilot.app.frame.position.paused
        await pilot.press("escape")
        type_ahead(pilot, "/cause:lock\n ")
        await until(pilot, lambda: pilot.app.choices.filter == "cause:lock" and pilot.app.frame.position.paused)
        type_ahead(pilot, "/ p\x1b ")
        await until(pilot, lambda: not pilot.app.choices.filter and not pilot.app.frame.position.paused)
        assert not pilot.app.screen.query_one(FilterBox).display
        assert pilot.app.screen is shown


@scenario
async def test_a_filter_that_cannot_be_read_says_so_and_the_last_good_one_holds():
    async with opened(source(), size=(120, 30)) as pilot:
        await on_the_page(pilot)
        await pilot.press("/", *"cause:lock", "k")
        await shows(pilot, "cause:lockk: no such cause; there are cpu, gc, sleep")
        assert pilot.app.choices.filter == "cause:lock"
        await pilot.press("backspace", "enter")
        await until(pilot, lambda: "no such cause" not in screen(pilot))
        assert {one.verdict.mechanism for one in listed(pilot)} == {"lock"}


@scenario
async def test_a_filter_of_another_version_is_none():
    async with opened(source(), size=(120, 30)) as pilot:
        pilot.app.choices = Choices("cause", filter="cause:weather")
        await on_the_page(pilot)
        assert len(listed(pilot)) == len(pilot.app.frame.view.requests)


@scenario
async def test_enter_opens_the_request_and_escape_leads_back_to_its_row():
    async with opened(source(), size=(120, 30)) as pilot:
        rows = await on_the_page(pilot)
        await pilot.press("o", "down", "down")
        await until(pilot, lambda: rows.cursor == 2)
        chosen = rows.chosen
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, RequestScreen))
        target = next(one for one in pilot.app.frame.view.requests if str(one.record.id) == chosen).record.target
        await shows(pilot, target)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, RequestsScreen))
        assert table(pilot).chosen == chosen


@scenario
async def test_where_nothing_is_listed_it_says_why():
    async with opened(source(), size=(80, 24)) as pilot:
        await on_the_page(pilot)
        await pilot.press("/", *"nowhere", "enter")
        await shows(pilot, "none matches the filter; esc lifts it")
        await pilot.press("1")
        await until(pilot, lambda: screen(pilot).count("none matches the filter; esc lifts it") == 3)
    async with opened(FakeSource(), size=(80, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, "none was judged so far")


@pytest.mark.parametrize("width", range(56, 300, 7))
def test_columns_fill_a_line_exactly(width):
    assert sum(column.width for column in columns(width)) == width
    assert all(column.width > 0 for column in columns(width))
