"""No target yet, or another one: the Python processes of this machine, to attach to one of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from rich.cells import cell_len
from rich.text import Text
from textual import on, work
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widgets import Input, Static

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.report_sentences import binary
from perfwatch.tui import palette
from perfwatch.tui.format import NONE, clean, fit, fit_path, percent, program, span
from perfwatch.tui.messages import CandidateChosen
from perfwatch.tui.screens.base import SizedScreen
from perfwatch.tui.widgets.key_bar import KeyBar
from perfwatch.tui.widgets.line import Line
from perfwatch.tui.widgets.rows import RowList

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from textual.app import ComposeResult

    from perfwatch.agent.target import Candidate

_REFRESH_S: Final = 2.0
_SOON_S: Final = 0.5
"""After the first look, the second: from then on it is known how much CPU each uses."""
_MAX_CANDIDATES: Final = 1_000
_WIDE: Final = 90
_WIDER: Final = 116


class Seen(NamedTuple):
    """A process, and what it does at the moment."""

    candidate: Candidate
    cpu: float | None
    """Of one core, since the last look; None at the first one."""
    age_s: float | None


class CandidateRows(RowList[Seen]):
    """Keys are PIDs."""

    KEYS_OF = "the list of processes"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "attach")]

    looked = False
    """Whether the machine was looked at already."""
    needle = ""

    def heading(self, width: int) -> Text:
        """Name the columns; a narrow terminal loses the user, and what a process uses."""
        user = f"{'user':<10}" if width >= _WIDE else ""
        use = f"{'cpu':>6}{'memory':>10}{'runs for':>10}  " if width >= _WIDER else f"{'cpu':>6}  "
        return Text(
            f"{'pid':>7}  {user}{'python':<8}{'server':<{_serves(width)}}{'listens on':<17}{use}program", palette.QUIET
        )

    def row(self, item: Seen, width: int) -> Text:
        """Show one process."""
        candidate = item.candidate
        ports = ", ".join(clean(address) for address in candidate.listeners[:3]) or NONE
        workers = f" +{candidate.workers}" if candidate.workers else ""
        text = Text.assemble(
            (f"{candidate.pid:>7}  ", palette.TEXT),
            (fit(clean(candidate.user), 9) + " " if width >= _WIDE else "", palette.QUIET),
            (fit(clean(candidate.python or "?"), 7) + " ", palette.QUIET),
            (fit(_server(candidate, _serves(width)) + workers, _serves(width) - 1) + " ", palette.ACCENT),
            (fit(ports, 16) + " ", palette.TEXT if candidate.listeners else palette.FAINT),
            (_use(item, width), palette.TEXT),
        )
        command = fit_path(program(candidate.command), max(0, width - text.cell_len))
        return text.append(command, palette.STRONG if candidate.listeners else palette.QUIET)

    def empty(self) -> str:
        """Say that there is nothing, or that it is not known yet."""
        if self.needle:
            return f"no Python process has {clean(self.needle)!r} in it; esc shows all"
        if self.looked:
            return "no Python process runs here that one may look into; other users' are seen as root"
        return "looking for Python processes ..."


class PickerScreen(SizedScreen):
    """Lists the candidates, those that listen first; looks again every two seconds."""

    KEYS_OF = "choosing a process"
    CSS_PATH = "picker.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", key_display="/", priority=True),  # what is typed ahead goes into the box
        Binding("escape", "back", "back", key_display="esc"),
        Binding("r", "look", "look again"),
    ]

    problem: reactive[str] = reactive("")
    """Why attaching did not work."""
    busy: reactive[int | None] = reactive(None)
    """The PID that is being attached to."""

    def __init__(self, candidates: Callable[[], Sequence[Candidate]], watched: str | None = None) -> None:
        """`watched` says what is attached to already, and gone back to by escape."""
        super().__init__()
        self._candidates, self._watched = candidates, watched
        self._found: tuple[Candidate, ...] = ()
        self._cpu = _Cpu()

    def compose_parts(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Static(self._title(), id="title")
        yield Static(id="state")
        yield CandidateRows(id="candidates")
        yield Line(placeholder="a port, a program, a user, a PID ...", id="filter", compact=True)
        yield KeyBar()

    def _title(self) -> Text:
        title = Text.assemble(("perfwatch", f"bold {palette.ACCENT}"), ("  attach to which process?", palette.QUIET))
        if self._watched is not None:
            title.append(f"  Now: {clean(self._watched)}", palette.QUIET)
        return title

    def on_mount(self) -> None:
        """Look now, soon, and again and again."""
        self.action_look()
        self.set_timer(_SOON_S, self.action_look)
        self.set_interval(_REFRESH_S, self.action_look)

    @work(thread=True, exclusive=True, group="candidates")
    def action_look(self) -> None:
        """List the processes anew, away from the screen's thread."""
        try:
            found = self._candidates()
        except PerfwatchError as error:
            self.app.call_from_thread(self._failed, str(error))
        else:
            self.app.call_from_thread(self._take, tuple(found[:_MAX_CANDIDATES]))

    def _failed(self, problem: str) -> None:
        self.problem = problem

    def _take(self, found: tuple[Candidate, ...]) -> None:
        if not self.query(CandidateRows):
            return  # the screen was left while it was looked
        rows = self.query_one(CandidateRows)
        if not rows.looked:
            rows.looked = True
            rows.refresh()
        self._found = tuple(sorted(found, key=lambda one: (not one.listeners, one.server is None, one.pid)))
        self._cpu.look(found)
        self._list()

    def _list(self) -> None:
        needle = self.query_one("#filter", Line).value.strip().lower()
        rows = self.query_one(CandidateRows)
        rows.needle = needle
        shown = [one for one in self._found if needle in _words(one)]
        rows.show([(str(one.pid), Seen(one, self._cpu.of(one.pid), _age_s(one))) for one in shown])

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        seen = self.query_one(CandidateRows).item(event.key)
        if seen is not None and self.busy is None:
            self.post_message(CandidateChosen(seen.candidate))

    # Filter

    def action_filter(self) -> None:
        """Show the filter line."""
        self.query_one("#filter", Line).open()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """Let the box have its own slashes; go back only where there is something to go back to."""
        box = self.query_one("#filter", Line) if self.is_mounted else None
        if action == "filter":
            return box is not None and not box.is_typed_in
        return action != "back" or self._watched is not None or (box is not None and box.display)

    def action_back(self) -> None:
        """Show all processes again; where all are shown, go back to the one that is watched."""
        box = self.query_one("#filter", Line)
        if box.display:
            self._show_all()
            box.leave()
        elif self._watched is not None:
            self.app.pop_screen()

    @on(Line.GivenUp)
    def _show_all(self) -> None:
        box = self.query_one("#filter", Line)
        box.value, box.display = "", False

    @on(Input.Changed, "#filter")
    def _filter_changed(self) -> None:
        self._list()

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        """Attach where only one is left."""
        rows = self.query_one(CandidateRows)
        if len(rows.keys) == 1:
            rows.action_choose()

    # What is going on

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


class _Cpu:
    """How much of a core each process uses, of two looks at what it had used."""

    def __init__(self) -> None:
        self._at_s = 0.0
        self._used: dict[int, float] = {}
        self._shares: dict[int, float] = {}

    def look(self, found: Iterable[Candidate]) -> None:
        """Take what was used until now."""
        now_s, used = time.monotonic(), {one.pid: one.cpu_s for one in found if one.cpu_s is not None}
        passed_s = max(now_s - self._at_s, 1e-3)
        before = self._used
        self._shares = {pid: max(0.0, cpu_s - before[pid]) / passed_s for pid, cpu_s in used.items() if pid in before}
        self._at_s, self._used = now_s, used

    def of(self, pid: int) -> float | None:
        """Return the share of one; None where only one look at it was taken."""
        return self._shares.get(pid)


def _serves(width: int) -> int:
    """How many cells the server and its framework have."""
    return 21 if width >= _WIDE else 13


def _server(candidate: Candidate, width: int) -> str:
    """Name the server and the framework; where there is no room for both, the server."""
    names = [clean(name) for name in dict.fromkeys((candidate.server, candidate.framework)) if name]
    return " ".join(names if sum(map(cell_len, names)) < width - 5 else names[:1])


def _words(candidate: Candidate) -> str:
    """Return what a filter is looked for in."""
    known = (candidate.user, candidate.python, candidate.server, candidate.framework, *candidate.listeners)
    return " ".join((str(candidate.pid), *filter(None, known), candidate.command)).lower()


def _age_s(candidate: Candidate) -> float | None:
    return None if candidate.started_unix_s is None else max(0.0, time.time() - candidate.started_unix_s)


def _use(item: Seen, width: int) -> str:
    cpu = NONE if item.cpu is None else percent(item.cpu)
    if width < _WIDER:
        return f"{cpu:>6}  "
    memory = NONE if item.candidate.rss_bytes is None else binary(item.candidate.rss_bytes)
    age = NONE if item.age_s is None else span(item.age_s)
    return f"{cpu:>6}{memory:>10}{age:>10}  "
