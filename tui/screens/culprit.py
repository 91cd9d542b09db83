"""Who is to blame for what a request waited for: where to find them, or a sheet with what is known of them."""

from __future__ import annotations

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
    from collections.abc import Callable, Iterable, Sequence

    from perfwatch.agent.course_step import Step
    from perfwatch.agent.model import Request, Verdict
    from perfwatch.probes.records import Waker

_STEPS: Final = 6


def blamed_requests(request: Request, steps: Iterable[Step]) -> list[int]:
    """Return the requests that are to blame for one, by id: along its chain, then who cost it most time."""
    chain = () if request.verdict is None else request.verdict.chain
    linked = [link.request for link in chain[:1] if link.request is not None]
    if chain and not linked:
        return []
    spent = [(step.spent_ns, step.request) for step in steps if step.request is not None]
    spent += [(one.held_ns, one.request) for one in request.record.culprits if one.request is not None]
    return [*linked, *(number for _, number in sorted(spent, reverse=True))]


def culprit_sheet(
    request: Request, steps: Sequence[Step], find: Callable[[int], Request | None], notes: Sequence[str] = ()
) -> Sheet | None:
    """Return what is known of who is to blame for these steps of a request; None where nobody is."""
    chain = () if request.verdict is None else request.verdict.chain
    costly = sorted((step for step in steps if step.whom), key=lambda step: -step.spent_ns)[:_STEPS]
    kept = [told(keeper) for keeper in keepers(request.record, find)]
    if not (chain or costly or kept):
        return None
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=palette.QUIET, justify="right")
    grid.add_column(overflow="fold")
    for title, lines in (
        ("", [Text(clean(note), style=palette.WARN) for note in notes]),
        ("chain of blame", _plain(chain_lines(chain) or [link_text(link) for link in chain])),
        ("threads", _plain(_threads(costly))),
        ("it cost", [told_in_full(step) for step in costly]),
        ("kept its loop", _plain(kept)),
    ):
        for number, line in enumerate(lines):
            grid.add_row("" if number else title, line)
    return Sheet(clean(_title(request.verdict, costly)), grid)


def _plain(lines: Iterable[str]) -> list[Text]:
    return [Text(clean(line), style=palette.TEXT) for line in lines]


def _title(verdict: Verdict | None, costly: Sequence[Step]) -> str:
    if verdict is not None and verdict.chain:
        return f"culprit: {who(verdict.chain[0])}"
    return f"culprit: {costly[0].whom}" if costly else "culprit"


def _threads(steps: Iterable[Step]) -> list[str]:
    """Name the threads that ended the waits, and how much of the time that was."""
    spent: dict[Waker, int] = {}
    for step in steps:
        if step.thread is not None:
            spent[step.thread] = spent.get(step.thread, 0) + step.spent_ns
    return [_thread(one, spent_ns) for one, spent_ns in sorted(spent.items(), key=lambda item: -item[1])]


def _thread(one: Waker, spent_ns: int) -> str:
    serving = "served no request" if one.request is None else f"served request {one.request}"
    return f"{one.name} (pid {one.pid}, tid {one.tid}), which {serving}: {duration_ns(spent_ns)}"
