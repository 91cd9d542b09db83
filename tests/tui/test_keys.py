"""Keys have names: by them a configuration changes them, and help, last line and palette follow."""

import re

import pytest
from fakes import FakeSource, generate
from tui_driving import opened, scenario, screen, settled, shows, until

from perfwatch.agent.errors import PerfwatchError
from perfwatch.tui import config
from perfwatch.tui.app import SCREENS
from perfwatch.tui.config import Config
from perfwatch.tui.habits import Habits
from perfwatch.tui.keys import Keyed, named_keys
from perfwatch.tui.pages import PAGES
from perfwatch.tui.screens.help import Sheet
from perfwatch.tui.screens.overview import OverviewScreen


def with_keys(**keymap):
    return {"habits": Habits(Config(keymap=keymap))}


def test_every_key_has_a_name_that_can_be_written_and_means_one_thing():
    meant = {}
    for kind in Keyed.kinds:
        for binding in kind.__dict__["BINDINGS"]:
            if binding.id is not None:
                assert re.fullmatch(r"[a-z0-9]+([.-][a-z0-9_]+)*", binding.id)
                assert meant.setdefault(binding.id, binding.action) == binding.action
    assert {f"page.{page.name}" for page in PAGES} <= set(meant)


@scenario
async def test_a_key_of_ones_own_works_shows_in_the_last_line_and_in_the_help():
    async with opened(FakeSource(generate(5)), **with_keys(pause="p", quit="ctrl+q")) as pilot:
        assert "p pause" in screen(pilot).splitlines()[-1]
        await pilot.press("space")
        assert pilot.app._source.calls == []
        await pilot.press("p")
        await shows(pilot, "paused")
        await pilot.press("?")
        await shows(pilot, "keys")
        assert re.search(r"(?m)^ *p +pause$", sheet(pilot))


def sheet(pilot):
    """All of the sheet, also what is scrolled away."""
    static = pilot.app.screen.query_one("#page > Static")
    return "\n".join(strip.text.rstrip() for strip in static.render_lines(static.size.region))


@scenario
async def test_the_help_has_every_key_of_every_screen_those_of_this_one_first():
    async with opened(FakeSource(generate(5)), size=(120, 40)) as pilot:
        await pilot.press("?")
        await until(pilot, lambda: isinstance(pilot.app.screen, Sheet))
        await settled(pilot)
        text = " ".join(sheet(pilot).split())
        for _, binding in named_keys():
            assert binding.description in text
        assert text.index("overview") < text.index("everywhere") < text.index("choosing a process")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[keys]\npaus = "p"', "there is no key named 'paus' (did you mean pause?)"),
        ('[keys]\npause = "nokey"', "pause = 'nokey' is no key (for example"),
        ('[keys]\npause = ","', "pause = ',' is no key (for example"),
        ("[keys]\npause = 7", "pause = '7' is no key (for example"),
        ('[keys]\npause = "q"', "'q' is the key of pause and of quit (choose another)"),
        ('[keys]\n"page.host" = "j"', "'j' is the key of page.host and of jump (choose another)"),
        ("keys = 3", "keys is no table (write [keys]"),
        ('theme = "pink"', "there is no theme 'pink' (one of: dark, light, "),
        ("colour = 1", "there is no setting 'colour' (docs/reference.md names them all)"),
        ("[keys\n", "this is no TOML: "),
        ('"\\u001b[2J" = 1', "there is no setting '\\\\x1b[2J'"),
    ],
)
def test_what_is_wrong_in_a_configuration_is_one_line_with_a_remedy(text, problem):
    with pytest.raises(PerfwatchError) as caught:
        config.parse(text.encode())
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "keymap"),
    [
        ("", {}),
        ('theme = "light"\n[keys]\npause = "p,space"\npage.host = "f9"', {"pause": "p,space", "page.host": "f9"}),
        ('[keys]\nslower = "down"', {"slower": "down"}),
    ],
)
def test_what_a_configuration_says(text, keymap):
    assert config.parse(text.encode()).keymap == keymap


@pytest.mark.parametrize("width", [60, 80, 100, 160, 300])
@scenario
async def test_the_last_line_names_the_page_and_some_keys_at_any_width(width):
    async with opened(FakeSource(generate(5)), size=(width, 24)) as pilot:
        line = screen(pilot).splitlines()[-1]
        assert len(line) <= width
        assert "1 overview" in line
        assert all(f" {page.key}" in line for page in PAGES)
        assert "? help" in line


@scenario
async def test_pages_and_keys_in_the_last_line_can_be_clicked():
    async with opened(FakeSource(generate(5)), size=(100, 30)) as pilot:
        for page in PAGES[1:]:
            await pilot.click("KeyBar", offset=(screen(pilot).splitlines()[-1].index(f" {page.key}") + 1, 0))
            await until(pilot, lambda page=page: isinstance(pilot.app.screen, SCREENS[page.name]))
            await settled(pilot)
        await pilot.click("KeyBar", offset=(1, 0))
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))
        await settled(pilot)
        await pilot.click("KeyBar", offset=(screen(pilot).splitlines()[-1].index("space"), 0))
        await shows(pilot, "‖ paused")


@scenario
async def test_the_palette_finds_what_has_a_key_and_does_it():
    async with opened(FakeSource(generate(5))) as pilot:
        await pilot.press(":")
        await shows(pilot, "one second back  ←")
        await pilot.press(*"pressure")
        await until(pilot, lambda: "host: each CPU" in screen(pilot) and "one second back" not in screen(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, SCREENS["host"]))
