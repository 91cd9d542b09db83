"""A line of a page: how long requests waited for one thing in all, how often, and which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from perfwatch.tui import palette
from perfwatch.tui.format import count, duration
from perfwatch.tui.widgets.sections import wrapped

if TYPE_CHECKING:
    from perfwatch.agent.model_lately import Waits


def wait_lines(one: Waits, what: str, width: int) -> list[Text]:
    """Tell them; `what` says for what, or where."""
    lead = Text.assemble((f"{duration(one.total_ms):>9}  ", palette.STRONG))
    who = ", ".join(f"{name} ({requests})" for name, requests in one.endpoints)
    return wrapped(lead, f"{what}: {count(one.waits)} waits, at most {duration(one.longest_ms)}; {who}", width)
