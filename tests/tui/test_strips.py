"""A line is painted as Rich would paint it."""

import pytest
from rich.console import Console
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from perfwatch.tui.strips import strip_of

UNDER = Style.parse("#ffffff on #101418")
CONSOLE = Console()
LINES = {
    "nothing": Text(),
    "plain": Text("GET /order"),
    "one after the other": Text.assemble(" ", ("GET", "bold #7cc4ff"), " /order", ("  9 ms", "#8b95a1")),
    "one on another": Text("GET /order", spans=[]).append_text(Text("slow", style="bold")),
    "nested": Text.assemble(Text("lock at cache.py", style="#8b95a1"), Text.assemble("a", ("b", "bold"), style="red")),
    "with a style of its own": Text.assemble(("GET", "bold"), "/order", style="#8b95a1"),
    "a style that was parsed": Text.assemble(("GET", Style(bold=True, bgcolor="#223344")), " /order"),
    "of wide characters": Text.assemble(("価格を見る", "bold"), ("注文", "#8b95a1")),
    "a stretch that ends beyond it": Text("abc"),
}
LINES["one on another"].stylize("reverse", 2, 6)
LINES["a stretch that ends beyond it"].stylize("bold", 1, 30)


@pytest.mark.parametrize("width", [0, 1, 5, 9, 40])
@pytest.mark.parametrize("name", LINES)
def test_a_line_looks_as_rich_draws_it(name, width):
    text = LINES[name]
    expected = Strip(text.render(CONSOLE)).adjust_cell_length(width).apply_style(UNDER)
    assert cells(strip_of(text, UNDER, width, CONSOLE)) == cells(expected)


def cells(strip):
    """What stands in each cell, and how."""
    return [(one, style) for text, style, _ in strip for one in text]
