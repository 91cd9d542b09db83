"""No target yet: the Python processes of this machine, to attach to one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widgets import Footer, Static

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.target import Candidate
from perfwatch.tui import palette
from perfwatch.tui.format import clean, fit, fit_path, program
from perfwatch.tui.messages import CandidateChosen
from perfwatch.tui.screens.base import SizedScreen
from perfwatch.tui.widgets.rows import RowList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult

_REFRESH_S = 2.0
_MAX_CANDIDATES = 1_000
_WIDE = 90


class CandidateRows(RowList[Candidate]):
    """Keys are PIDs."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "attach")]

    looked = False
    """Whether the machine was looked at already."""

    def heading(self, width: int) -> Text:
        """Name the columns; a narrow terminal loses the user."""
        user = f"{'user':<10}" if width >= _WIDE else ""
        return Text(f"{'pid':>7}  {user}{'python':<9}{'server':<13}{'listens on':<23}program", palette.QUIET)

    def row(self, item: Candidate, width: int) -> Text:
        """Show one process."""
        ports = ", ".join(clean(address) for address in item.listeners[:3]) or "-"
        workers = f" +{item.workers}" if item.workers else ""
        user = fit(clean(item.user), 9) + " " if width >= _WIDE else ""
        return Text.assemble(
            (f"{item.pid:>7}  ", palette.TEXT),
            (user, palette.QUIET),
            (fit(clean(item.python or "?"), 8) + " ", palette.QUIET),
            (fit(clean(item.server or "") + workers, 12) + " ", palette.ACCENT),
            (fit(ports, 22) + " ", palette.TEXT if item.listeners else palette.FAINT),
            (
                fit_path(program(item.command), max(0, width - 54 - len(user))),
                palette.STRONG if item.listeners else palette.QUIET,
            ),
        )

    def empty(self) -> str:
        """Say that there is nothing, or that it is not known yet."""
        return "no Python process runs here" if self.looked else "looking for Python processes ..."


class PickerScreen(SizedScreen):
    """Lists the candidates, those that listen first; looks again every two seconds."""

    CSS_PATH = "picker.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("r", "look", "look again")]

    problem: reactive[str] = reactive("")
    """Why attaching did not work."""
    busy: reactive[int | None] = reactive(None)
    """The PID that is being attached to."""

    def __init__(self, candidates: Callable[[], Sequence[Candidate]]) -> None:
        super().__init__()
        self._candidates = candidates

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Static(
            Text.assemble(("perfwatch", f"bold {palette.ACCENT}"), ("  attach to which process?", palette.QUIET)),
            id="title",
        )
        yield Static(id="state")
        yield CandidateRows(id="candidates")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Look now, and again and again."""
        self.action_look()
        self.set_interval(_REFRESH_S, self.action_look)

    @work(thread=True, exclusive=True, group="candidates")
    def action_look(self) -> None:
        """List the processes anew, away from the screen's thread."""
        try:
            found = self._candidates()
        except PerfwatchError as error:
            self.app.call_from_thread(self._failed, str(error))
        else:
            self.app.call_from_thread(self._found, tuple(found[:_MAX_CANDIDATES]))

    def _failed(self, problem: str) -> None:
        self.problem = problem

    def _found(self, found: tuple[Candidate, ...]) -> None:
        rows = self.query_one(CandidateRows)
        if not rows.looked:
            rows.looked = True
            rows.refresh()
        ordered = sorted(found, key=lambda one: (not one.listeners, one.server is None, one.pid))
        rows.show([(str(candidate.pid), candidate) for candidate in ordered])

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        candidate = self.query_one(CandidateRows).item(event.key)
        if candidate is not None and self.busy is None:
            self.post_message(CandidateChosen(candidate))

    def watch_problem(self) -> None:
        """Say it."""
        self._say()

    def watch_busy(self) -> None:
        """Say it."""
        self._say()

    def _say(self) -> None:
        if not self.is_mounted:
            return
        if self.busy is not None:
            line = Text(f"attaching to {self.busy} ...", style=palette.ACCENT)
        else:
            line = Text.assemble(("✗ ", palette.ALARM), clean(self.problem)) if self.problem else Text("")
        self.query_one("#state", Static).update(line)
