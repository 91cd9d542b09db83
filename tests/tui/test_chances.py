"""Slow beside normal on an endpoint's screen, and what would make requests cheaper."""

import msgspec
import pytest
import queued
from fakes import FakeSource, generate
from judging import judge_that_shows
from tui_driving import opened, scenario, screen, settled, shows

from perfwatch.agent.model import Ledger, Opportunity
from perfwatch.tui.widgets.chances import chance_line

EVIL = "[bold]x[/]\x1b[2J\u202e\u0301"
KEPT = Opportunity("cache", ("POST", "/order/{}"), "POST /order/{}: a cache would save 8 ms", 8.0, 40)
OTHER = Opportunity("static", ("GET", "/static/{}"), "GET /static/{}: served by Python", 2.0, 9)


def showing(*chances):
    return opened(FakeSource(generate(30)), size=(120, 40), judge_factory=queued.judge(opportunities=chances))


def compared(view):
    """A view whose first endpoint has normal requests that take half as long."""
    first, *others = view.endpoints or (None,)
    if first is None:
        return view
    half = Ledger(first.ledger.total_ns // 2, tuple(booked // 2 for booked in first.ledger.booked_ns))
    first = msgspec.structs.replace(first, normal=half, normal_count=321)
    return msgspec.structs.replace(view, endpoints=(first, *others))


@scenario
async def test_normal_requests_are_drawn_beside_the_slow_ones():
    async with opened(FakeSource(generate(30)), size=(120, 40), judge_factory=judge_that_shows(compared)) as pilot:
        await pilot.press("enter")
        await shows(pilot, "mean ledger of the")
        [line] = [line for line in screen(pilot).splitlines() if "normal, over 321" in line]
        bar = line.partition("normal")[0].rstrip()
        assert 50 <= len(bar) <= 65
        assert "cheaper" not in screen(pilot)


@scenario
async def test_what_saves_most_is_told_on_the_overview_and_on_its_endpoint():
    async with showing(KEPT, OTHER) as pilot:
        await shows(pilot, "cheaper  cache: POST /order/{}: a cache would save 8 ms")
        assert "and 1 more" in screen(pilot)
        await pilot.press("enter")
        await shows(pilot, "mean ledger of the")
        assert "cheaper  cache: POST /order/{}" in screen(pilot)
        assert "and 1 more" not in screen(pilot)
        await pilot.press("escape", "down", "enter")
        await shows(pilot, "GET /search")
        await settled(pilot)
        assert "cheaper" not in screen(pilot)


@pytest.mark.parametrize("size", [(60, 16), (100, 40)])
@scenario
async def test_hostile_names_are_shown_as_text(size):
    evil = Opportunity("cache", (EVIL, EVIL), EVIL, None, 1)
    source = FakeSource(generate(30))
    async with opened(source, size=size, judge_factory=queued.judge(opportunities=(evil,))) as pilot:
        await settled(pilot)
        assert not any(evil in screen(pilot) for evil in ("\x1b", "\u202e", "\u0301"))


def test_a_line_is_as_wide_as_there_is_room():
    assert chance_line((), 40).plain == ""
    assert chance_line((KEPT, OTHER), 40).cell_len == 40
    assert chance_line((KEPT,), 10).cell_len == 10
