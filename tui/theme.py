"""The themes: colours of the surfaces, and what becomes of each colour of `palette` on them.

A widget draws in the colours of `palette`, whatever the theme; `repaint` changes them on the way to the terminal.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from textual.color import Color
from textual.theme import Theme

from perfwatch.tui import palette

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT: Final = "dark"
FEW_COLOURS: Final = "16-colours"
THEMES: Final[Mapping[str, str]] = {
    DEFAULT: "the colours of the documentation",
    "light": "on white",
    "high-contrast": "on black",
    "colour-blind": "for all kinds of colour vision",
    FEW_COLOURS: "those that every terminal has",
}
"""Name of each theme, and what it is for."""
VARIABLES: Final = ("edge", "lit")
"""Ours in the style sheets: the frame of a box, the row under the cursor."""
_STEPS: Final = 20
_LEAST: Final = 4.5
_MOST: Final = 7.0
"""Contrast of text that can be read, and of text that can be read easily (WCAG 2.2, AA and AAA)."""


class Look(NamedTuple):
    """A theme of Textual, and what our own colours become in it."""

    theme: Theme
    colours: Mapping[str, str]
    """Colour of `palette` to colour on the screen; what is not in it stays."""


def drawn_in() -> tuple[str, ...]:
    """Return every colour that something is drawn in, each once."""
    shades = (palette.TEXT, palette.STRONG, palette.QUIET, palette.FAINT)
    signals = (palette.ACCENT, palette.LINE, palette.ALARM, palette.WARN)
    inks = (*palette.INKS.values(), *palette.PART_INKS.values(), palette.GC, palette.UNACCOUNTED)
    named = (*shades, *signals, *(ink.colour for ink in inks), *palette.COLOUR.values())
    return tuple(dict.fromkeys(hex_of(colour) for colour in named))


def hex_of(style: str) -> str:
    """Return the colour in a style: `#f2f5f8` of `bold #f2f5f8`."""
    return style.rpartition(" ")[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21, as WCAG defines it."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    def linear(part: float) -> float:
        return part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - of the definition

    red, green, blue = (linear(part) for part in Color.parse(colour).normalized)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _readable(colour: str, ground: str, least: float) -> str:
    """Move a colour towards black or white, whichever is further from the ground, until it has the contrast."""
    end = Color.parse("#000000" if _luminance(ground) > 0.5 else "#ffffff")  # noqa: PLR2004 - light or dark
    steps = (Color.parse(colour).blend(end, step / _STEPS).hex.lower() for step in range(_STEPS + 1))
    return next((step for step in steps if contrast(step, ground) >= least), end.hex.lower())


def _all_readable(ground: str, least: float, shades: tuple[str, str, str, str]) -> dict[str, str]:
    """Give the colours contrast on a ground; text, strong, quiet and faint text are as told."""
    told = dict(zip(map(hex_of, (palette.TEXT, palette.STRONG, palette.QUIET, palette.FAINT)), shades, strict=True))
    return {colour: told.get(colour) or _readable(colour, ground, least) for colour in drawn_in()}


def _theme(name: str, surfaces: tuple[str, str, str, str, str], colours: Mapping[str, str], *, dark: bool) -> Theme:
    """Make Textual's theme of five surfaces: ground, raised, panel, edge, the row under the cursor."""
    ground, raised, panel, edge, lit = surfaces

    def become(style: str) -> str:
        return colours.get(hex_of(style), hex_of(style))

    accent, quiet = become(palette.ACCENT), become(palette.QUIET)
    return Theme(
        name=name,
        primary=accent,
        secondary=quiet,
        accent=accent,
        foreground=become(palette.TEXT),
        background=ground,
        surface=raised,
        panel=panel,
        success=become(palette.COLOUR["healthy"]),
        warning=become(palette.WARN),
        error=become(palette.ALARM),
        dark=dark,
        variables={"block-cursor-text-style": "none", "edge": edge, "lit": lit},
    )


@cache
def look(name: str) -> Look:
    """Return a theme by its name; made when it is wanted, because that takes some milliseconds."""
    ground: tuple[str, str, str, str, str] = ("#10151b", "#161d26", "#1d2631", "#34404e", "#333b45")
    colours: Mapping[str, str] = {}
    if name == "light":
        ground = ("#ffffff", "#eef1f4", "#e2e7ec", "#a9b4c0", "#d5e3f0")
        colours = _all_readable("#d5e3f0", _LEAST, ("#262d35", "#0b0f14", "#505a66", "#a9b4c0"))
    elif name == "high-contrast":
        ground = ("#000000", "#000000", "#1a1a1a", "#ffffff", "#303030")
        colours = _all_readable("#303030", _MOST, ("#ffffff", "#ffffff", "#d0d0d0", "#8c8c8c"))
    elif name == "colour-blind":
        colours = _of(_OKABE_ITO)
    elif name == FEW_COLOURS:
        ground = ("#000000", "#000000", "#000000", "#aaaaaa", "#0000aa")
        colours = _of(_SIXTEEN)
    return Look(_theme(name, ground, colours, dark=name != "light"), colours)


def _of(told: Mapping[str, str]) -> dict[str, str]:
    """Say by the names of shades, signals, buckets and parts what their colours become."""
    named = {name: getattr(palette, name.upper()) for name in ("text", "strong", "quiet", "faint")}
    named |= {name: getattr(palette, name.upper()) for name in ("accent", "line", "alarm", "warn")}
    named |= {bucket: ink.colour for bucket, ink in palette.INKS.items()}
    named |= {"gc": palette.GC.colour, "open": palette.UNACCOUNTED.colour}
    return {hex_of(named[name]): colour for name, colour in told.items()}


_ORANGE, _SKY, _GREEN, _YELLOW = "#e69f00", "#56b4e9", "#009e73", "#f0e442"
_BLUE, _VERMILLION, _PURPLE, _GREY = "#3f93d0", "#e8702a", "#cc79a7", "#a6a6a6"
_OKABE_ITO: Final = {
    "accent": _SKY,
    "line": _BLUE,
    "alarm": _VERMILLION,
    "warn": _YELLOW,
    "queue": _YELLOW,
    "on_cpu": _GREEN,
    "gil": _VERMILLION,
    "lock": _ORANGE,
    "loop": _PURPLE,
    "run_queue": _BLUE,
    "disk": _GREEN,
    "fault": _PURPLE,
    "calls": _SKY,
    "sleep": _GREY,
    "receive": _SKY,
    "send": _BLUE,
    "child": _GREY,
    "other": _GREY,
    "gc": _YELLOW,
}
"""Okabe's and Ito's eight colours; blue and vermillion lighter than theirs, to be read on a dark ground."""
_SIXTEEN: Final = {
    "text": "#aaaaaa",
    "strong": "#ffffff",
    "quiet": "#aaaaaa",
    "faint": "#555555",
    "accent": "#55ffff",
    "line": "#5555ff",
    "alarm": "#ff5555",
    "warn": "#ffff55",
    "queue": "#aa5500",
    "on_cpu": "#55ff55",
    "gil": "#ff5555",
    "lock": "#ffff55",
    "loop": "#ff55ff",
    "run_queue": "#aa00aa",
    "disk": "#00aaaa",
    "fault": "#aa0000",
    "calls": "#55ffff",
    "sleep": "#aaaaaa",
    "receive": "#00aa00",
    "send": "#5555ff",
    "child": "#aaaaaa",
    "other": "#aa5500",
    "gc": "#00aa00",
    "open": "#555555",
}
"""The very colours that a terminal of 16 has: none of them is made another one on the way."""
