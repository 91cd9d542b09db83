"""Screens that are made once: what is shown again looks as if it were new, and none is missing that was made ahead."""

import pytest
from fakes import FakeSource, generate
from tui_driving import opened, scenario, screen, settled, shows, until

from perfwatch.tui import keeping
from perfwatch.tui.app import SCREENS
from perfwatch.tui.keeping import Keeper
from perfwatch.tui.messages import DetailWanted
from perfwatch.tui.pages import PAGES
from perfwatch.tui.screens.endpoint import EndpointScreen
from perfwatch.tui.screens.overview import OverviewScreen
from perfwatch.tui.screens.request import RequestScreen

MAKE_AHEAD = Keeper.make_ahead
ENDPOINT = ["home", "down"]
REQUEST = ["tab", "home", "down"]
WAYS = {
    "an endpoint": (ENDPOINT, EndpointScreen, "mean ledger", ["t", "down", "enter", "t", "down", "down"]),
    "an endpoint's tree": (ENDPOINT, EndpointScreen, "mean ledger", ["t", "down"]),
    "a request": (REQUEST, RequestScreen, "where the time went", ["down", "e", "down", "d", "down"]),
    "a request's tree": (REQUEST, RequestScreen, "where the time went", ["e", "t", "down", "enter"]),
    "a culprit": (REQUEST, RequestScreen, "where the time went", ["c", "down"]),
}


@pytest.mark.parametrize("way", WAYS)
@scenario
async def test_a_sheet_that_is_shown_again_looks_as_a_new_one(way):
    there, kind, told, keys = WAYS[way]
    async with opened(FakeSource(generate(30)), size=(120, 44)) as pilot:
        await pilot.press(*there, "enter")
        await shows(pilot, told)
        await settled(pilot)
        new = screen(pilot)
    async with opened(FakeSource(generate(30)), size=(120, 44)) as pilot:
        await pilot.press(*there, "down", "enter")
        await shows(pilot, told)
        first = pilot.app.screen
        await pilot.press(*keys)
        while not isinstance(pilot.app.screen, OverviewScreen):
            await pilot.press("escape")
            await settled(pilot)
        await pilot.press("up", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, kind))
        await until(pilot, lambda: screen(pilot) == new)
        assert pilot.app.screen is first


@scenario
async def test_screens_are_made_ahead_and_each_is_the_one_that_its_key_shows(monkeypatch):
    monkeypatch.setattr(keeping, "_PAUSE_S", 0.01)
    async with opened(FakeSource(generate(30))) as pilot:
        MAKE_AHEAD(pilot.app)
        kept = pilot.app.kept_screens
        await until(pilot, lambda: len(kept()) == len(SCREENS) + 2)
        made = kept()
        await until(pilot, lambda: all(one.is_mounted and one.size == pilot.app.size for one in made))
        assert isinstance(pilot.app.screen, OverviewScreen)
        for page in PAGES[1:]:
            await pilot.press(page.key)
            await until(pilot, lambda page=page: isinstance(pilot.app.screen, SCREENS[page.name]))
            assert pilot.app.screen in made
        await pilot.press("1", "enter")
        await shows(pilot, "POST /order/{}   74 requests")
        assert pilot.app.screen in made
        assert kept() == made


@scenario
async def test_a_sheet_that_is_wanted_while_it_is_made_shows_what_is_wanted(monkeypatch):
    monkeypatch.setattr(keeping, "_PAUSE_S", 60)
    async with opened(FakeSource(generate(30))) as pilot:
        MAKE_AHEAD(pilot.app)
        pilot.app._make_next()
        pilot.app.screen.post_message(DetailWanted(EndpointScreen, "POST /order/{}"))
        await shows(pilot, "POST /order/{}   74 requests")
