"""The page can be read: contrasts as WCAG 2 computes them, level AA, and no colour is the only sign."""

import re
from pathlib import Path

import pytest

from perfwatch.agent.report_html import colours, markup

CSS = (Path(markup.__file__).parent / "page.css").read_text()
LIGHT, DARK = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in CSS.split("@media")[:2])


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_measure_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["text", "quiet", "link"])
@pytest.mark.parametrize("ground", ["page", "panel"])
def test_text_stands_out_from_its_ground(theme, name, ground):
    assert contrast(theme[name], theme[ground]) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["line", "strong", "mark", "low", "middle", "high", "focus"])
def test_what_is_drawn_stands_out(theme, name):
    assert contrast(theme[name], theme["page"]) >= 3


@pytest.mark.parametrize(("own", "theme"), [(colours.LIGHT, LIGHT), (colours.DARK, DARK)], ids=["light", "dark"])
def test_parts_of_bars_stand_out_and_their_names_from_them(own, theme):
    for name, colour in own.items():
        assert contrast(colour, theme["page"]) >= 3, name
        assert contrast(theme["ink"], colour) >= 4.5, name


def test_both_themes_have_the_same_colours():
    assert LIGHT.keys() == DARK.keys()
    assert colours.LIGHT.keys() == colours.DARK.keys()
    assert all(f".c-{name} {{" in colours.css() for name in colours.DARK)
