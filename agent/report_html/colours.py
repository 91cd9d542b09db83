"""The page's colours, as CSS: of buckets, parts of calls and principles, for a dark and a light page.

On a dark page they are those of the screen. The light ones have the same hues, dark enough to stand out from white by 3
to 1; near-black text on any of them has a contrast of 4.5 to 1 and more. Tests compute both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.buckets import COLOUR, GC_COLOUR, PART_COLOUR, PRINCIPLE_COLOUR

if TYPE_CHECKING:
    from collections.abc import Mapping

DARK: Final[Mapping[str, str]] = {
    **dict(COLOUR.items()),
    **{f"part-{part}": colour for part, colour in PART_COLOUR.items()},
    **dict(PRINCIPLE_COLOUR.items()),
    "gc": GC_COLOUR,
    "unaccounted": "#8b95a1",
}
LIGHT: Final[Mapping[str, str]] = {
    "queue": "#b28919",
    "on_cpu": "#559f53",
    "gil": "#e66670",
    "lock": "#e56c15",
    "loop": "#c96cc9",
    "run_queue": "#a874f3",
    "disk": "#3a9f90",
    "fault": "#d6689e",
    "calls": "#2793f3",
    "sleep": "#7f91a8",
    "receive": "#209dab",
    "send": "#3a95db",
    "child": "#8183f0",
    "other": "#a28c78",
    "part-connect": "#a874f3",
    "part-tls": "#d6689e",
    "part-send": "#3a95db",
    "part-wait": "#2793f3",
    "part-transfer": "#209dab",
    "efficiency": "#559f53",
    "concurrency": "#e56c15",
    "capacity": "#2793f3",
    "healthy": "#559f53",
    "unknown": "#7f91a8",
    "gc": "#84981a",
    "unaccounted": "#7c8794",
}


def css() -> str:
    """Return the colours as variables and as classes: `.c-lock` paints what it is given to."""
    classes = "".join(
        f".c-{name} {{ --own: var(--c-{name}); fill: var(--own); background-color: var(--own); }}\n" for name in DARK
    )
    light = _variables(LIGHT)
    return (
        f":root {{ {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}\n{classes}"
    )


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--c-{name}: {colour};" for name, colour in colours.items())
