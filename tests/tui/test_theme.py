"""Themes change what widgets draw without their knowing: every colour can be read, and few colours stay few."""

import pytest
from fakes import FakeSource, generate
from rich._palettes import STANDARD_PALETTE
from rich.color import Color, ColorType
from tui_driving import opened, scenario, settled, until

from perfwatch.tui import palette
from perfwatch.tui.config import Config
from perfwatch.tui.habits import Habits
from perfwatch.tui.theme import THEMES, contrast, drawn_in, hex_of, look

FAINT = {hex_of(palette.FAINT), palette.UNACCOUNTED.colour}


def colours_of(pilot):
    """Every colour on the screen: of what stands there, and of what it stands on."""
    styles = [part.style for strip in pilot.app.screen._compositor.render_strips() for part in strip if part.style]
    return {colour for style in styles for colour in (style.color, style.bgcolor) if colour is not None}


@pytest.mark.parametrize("name", THEMES)
def test_what_is_drawn_can_be_read_on_each_of_its_grounds(name):
    made = look(name)
    least = {"dark": 3.5, "light": 4.5, "high-contrast": 7.0, "colour-blind": 3.0, "16-colours": 1.5}[name]
    for ground in (made.theme.background, made.theme.surface, made.theme.panel):
        for colour in set(drawn_in()) - FAINT:
            assert contrast(made.colours.get(colour, colour), ground) >= least, (colour, ground)


def test_contrast_is_that_of_the_definition():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_of_sixteen_colours_none_is_made_another_by_the_terminal():
    made = look("16-colours")
    assert set(made.colours) == set(drawn_in())
    grounds = (made.theme.background, made.theme.surface, made.theme.panel, *made.theme.variables.values())
    for colour in {*made.colours.values(), *(ground for ground in grounds if ground.startswith("#"))}:
        few = Color.parse(colour).downgrade(1)
        assert STANDARD_PALETTE[few.number] == Color.parse(colour).triplet


@scenario
async def test_a_theme_is_taken_by_all_that_stands_on_the_screen_and_kept_until_the_next():
    known = {Color.parse(colour) for colour in drawn_in()}
    async with opened(FakeSource(generate(5))) as pilot:
        assert len(colours_of(pilot) & known) > 5
        for name in (*list(THEMES)[1:], "dark"):
            await pilot.press("T")
            await until(pilot, lambda name=name: pilot.app.theme == name)
            await settled(pilot)
            made = look(name)
            gone = {Color.parse(one) for one, other in made.colours.items() if one not in made.colours.values()}
            assert not colours_of(pilot) & gone
            assert Color.parse(made.theme.background) in colours_of(pilot)


@scenario
async def test_no_colour_where_none_is_wanted(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(FakeSource(generate(5))) as pilot:
        assert {colour.type for colour in colours_of(pilot)} == {ColorType.DEFAULT}


@pytest.mark.parametrize(
    ("term", "theme", "taken"),
    [("xterm", None, "16-colours"), ("xterm-256color", None, "dark"), ("xterm", "light", "light")],
)
@scenario
async def test_a_terminal_of_few_colours_gets_those_it_has(monkeypatch, tmp_path, term, theme, taken):
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("COLORTERM", raising=False)
    environ = {"TERM": term, "HOME": str(tmp_path)}
    async with opened(None, candidates=list, habits=Habits(Config(theme), environ=environ)) as pilot:
        assert pilot.app.theme == taken
