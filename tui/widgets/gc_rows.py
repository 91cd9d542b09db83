"""Single runs of the garbage collectors: when, how long, which generation, and whom they delayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent.model_memory import GcRun
from perfwatch.tui import palette
from perfwatch.tui.format import NONE, clean, clock, count, duration_ns, fit
from perfwatch.tui.widgets.rows import RowList

if TYPE_CHECKING:
    from perfwatch.agent.model import SessionInfo, View

ORDERS: Final = ("newest", "longest")
_LONG_NS: Final = 50_000_000
_FIRST: Final = 14
_FIGURES: Final = 9 + 5 + 8 + 2
_GUESSED: Final = "polled"


class GcRows(RowList[GcRun]):
    """The newest, or the longest since the first record; keys are process and moment."""

    _info: SessionInfo | None = None
    _order: str = ORDERS[0]
    _counted: bool = False

    def take(self, view: View, info: SessionInfo, order: str) -> None:
        """Take the runs in an order that is one of `ORDERS`."""
        self._info, self._order = info, order
        self._counted = any(any(one.gc_collections) for one in view.queues_overall.interpreters)
        runs = view.gc_runs.longest if order == "longest" else view.gc_runs.newest[::-1]
        self.show([(f"{one.pid}/{one.tid}/{one.started_ns}", one) for one in runs])

    def heading(self, width: int) -> Text:
        """Name the columns."""
        whom = max(0, width - _FIRST - _FIGURES)
        return Text.assemble(
            (fit(f"{self._order} runs", _FIRST), palette.STRONG),
            (f"{'paused':>9}{'gen':>5}{'freed':>8}  ", palette.QUIET),
            (fit("thread, and the request that it served", whom), palette.QUIET),
        )

    def row(self, item: GcRun, width: int) -> Text:
        """Show one run."""
        moment = "" if self._info is None else clock(self._info.unix_s(item.started_ns), ms=True)
        about = "~" if item.source == _GUESSED else ""
        freed = NONE if item.collected is None else count(item.collected)
        generation = NONE if item.generation is None else str(item.generation)
        return Text.assemble(
            (fit(moment, _FIRST), palette.QUIET),
            (
                f"{about + duration_ns(item.paused_ns):>9}",
                f"bold {palette.ALARM}" if item.paused_ns >= _LONG_NS else palette.STRONG,
            ),
            (f"{generation:>5}{freed:>8}  ", palette.TEXT),
            (fit(clean(_whom(item)), max(0, width - _FIRST - _FIGURES)), palette.TEXT),
        )

    def empty(self) -> str:
        """Say that none was seen, and if there were some all the same."""
        return "none was seen one by one; see above for how many were counted" if self._counted else "no run so far"


def _whom(run: GcRun) -> str:
    thread = run.thread or ("a thread that is not known" if run.tid is None else f"thread {run.tid}")
    whose = f"{thread} of {run.pid}"
    return f"{whose}, serving {run.serves}" if run.serves else whose
