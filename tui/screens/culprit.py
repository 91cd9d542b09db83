"""Who is to blame for what a request waited for: where to find them, or a sheet with what is known of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from perfwatch.agent.correlator.because import chain_lines, link_text, who
from perfwatch.agent.correlator.keepers import keepers, told
from perfwatch.tui import palette
from perfwatch.tui.format import clean, duration_ns
from perfwatch.tui.screens.help import Sheet
from perfwatch.tui.widgets.waterfall import told_in_full

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from perfwatch.agent.course_step import Step
    from perfwatch.agent.model import Request, View, Waker

_STEPS: Final = 6
_NOT_KEPT: Final = "the request that is to blame was not slow, and is not kept"


def blamed_requests(request: Request, steps: Iterable[Step]) -> list[int]:
    """Return the requests that are to blame for one, by id: along its chain, then who cost it most time."""
    chain = () if request.verdict is None else request.verdict.chain
    linked = [link.request for link in chain[:1] if link.request is not None]
    if chain and not linked:
        return []
    spent = [(step.spent_ns, step.request) for step in steps if step.request is not None]
    spent += [(one.held_ns, one.request) for one in request.record.culprits if one.request is not None]
    return [*linked, *(number for _, number in sorted(spent, reverse=True))]


def sheet_of_request(request: Request, steps: Sequence[Step], view: View) -> Sheet | None:
    """Return what is known of who is to blame for a request; None where nobody is."""
    chain = () if request.verdict is None else request.verdict.chain
    kept = [told(keeper) for keeper in keepers(request.record, partial(judged, view))]
    lines = chain_lines(chain) or [link_text(link) for link in chain]
    name = who(chain[0]) if chain else ""
    return _sheet(name, steps, {"chain of blame": lines, "kept its loop": kept})


def sheet_of_step(step: Step) -> Sheet | None:
    """Return what is known of who is to blame for one step; None where nobody is."""
    return _sheet("", (step,), {})


def judged(view: View, request_id: int) -> Request | None:
    """Return a request that is in a view, by its id."""
    return next((request for request in reversed(view.requests) if request.record.id == request_id), None)


def _sheet(name: str, steps: Iterable[Step], lines: Mapping[str, Sequence[str]]) -> Sheet | None:
    costly = sorted((step for step in steps if step.whom), key=lambda step: -step.spent_ns)[:_STEPS]
    missing = [_NOT_KEPT] if any(step.request is not None for step in costly) else []
    said = {**lines, "threads": _threads(costly), "not here": missing}
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=palette.QUIET, justify="right")
    grid.add_column(overflow="fold")
    for title, texts in said.items():
        for number, text in enumerate(texts):
            grid.add_row("" if number else title, Text(clean(text), style=palette.TEXT))
    for number, step in enumerate(costly):
        grid.add_row("" if number else "it waited", told_in_full(step))
    thread = next((f"{step.thread.name} (tid {step.thread.tid})" for step in costly if step.thread is not None), "")
    title = name or thread or next((step.whom for step in costly), "")
    return Sheet(f"culprit: {clean(title)}", grid) if grid.row_count else None


def _threads(steps: Iterable[Step]) -> list[str]:
    """Name the threads that ended the waits, and how much of the time that was."""
    spent: dict[Waker, int] = {}
    for step in steps:
        if step.thread is not None:
            spent[step.thread] = spent.get(step.thread, 0) + step.spent_ns
    return [_thread(one, spent_ns) for one, spent_ns in sorted(spent.items(), key=lambda item: -item[1])]


def _thread(one: Waker, spent_ns: int) -> str:
    serving = "served no known request" if one.request is None else f"served request {one.request}"
    return f"{one.name} (pid {one.pid}, tid {one.tid}), which {serving}: {duration_ns(spent_ns)}"
