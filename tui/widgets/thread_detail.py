"""The thread under the cursor: what it does, what its last minute was, and its stack."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.text import Text
from textual.reactive import reactive

from perfwatch.agent.correlator.because import ring
from perfwatch.agent.correlator.places import kind_of
from perfwatch.agent.report_sentences import counted
from perfwatch.tui import palette
from perfwatch.tui.draw import stacked
from perfwatch.tui.format import NONE, clean, duration_ns, fit, fit_path, percent, span
from perfwatch.tui.widgets.panel import Panel, joined
from perfwatch.tui.widgets.sections import wrapped
from perfwatch.tui.widgets.thread_locks import not_read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model import Frame as CodeFrame
    from perfwatch.agent.model import TargetThread
    from perfwatch.agent.model_threads import Doing
    from perfwatch.tui.messages import Frame

_NS: Final = 1_000_000_000
_BAR: Final = 24
_OLD_NS: Final = 2 * _NS


class ThreadDetail(Panel):
    """Of the frame, the thread whose process and number are `thread`."""

    thread: reactive[tuple[int, int] | None] = reactive(None, repaint=False)

    def watch_thread(self) -> None:
        """Show the other one."""
        self.repaint()

    def compose_text(self, frame: Frame, width: int) -> Text:
        """Set what is known below each other; what has no room below is scrolled to."""
        found = next((one for one in frame.view.threads if (one.pid, one.tid) == self.thread), None)
        if found is None:
            return Text("   this thread has ended" if self.thread else "", style=palette.QUIET)
        room = max(1, width - 3)
        lines = [*_about(found, frame, room), *_stack(found, frame, room)]
        return joined([Text.assemble("   ", line) for line in lines])


def _about(thread: TargetThread, frame: Frame, width: int) -> Iterator[Text]:
    ink, now_ns = palette.ink_for(thread.doing), frame.view.now_ns
    lasting = "" if thread.since_ns is None else f" for {_lasting(now_ns - thread.since_ns)}"
    call = f", in {clean(thread.call)}" if thread.call else ""
    yield _cut(
        Text.assemble(
            (clean(thread.name), palette.STRONG),
            (f"  thread {thread.tid} of process {thread.pid}   ", palette.QUIET),
            (f"{ink.glyph} {ink.name}", ink.colour),
            (f"{lasting}{call}", palette.TEXT),
            (f"   serves {clean(thread.serves)}" if thread.serves else "", palette.ACCENT),
        ),
        width,
    )
    figures = (NONE if share is None else percent(share, digits=1) for share in (thread.cpu, thread.wanted_cpu))
    cpu, wanted = figures
    gil = "" if thread.gil is None else f"   had the GIL in {percent(thread.gil)} of readings"
    yield _cut(Text(f"{_of(frame, 'last 10 s')}   ran {cpu}   wanted a CPU {wanted}{gil}", style=palette.TEXT), width)
    waits, kept_ns = thread.kept
    if waits:
        since = _of(frame, "last minute")
        told = f"{since}  requests waited {duration_ns(kept_ns)} for locks that it had, in {counted(waits, 'wait')}"
        yield _cut(Text(told, style=palette.WARN), width)
    for one in frame.view.deadlocks:
        if any((link.pid, link.tid) == (thread.pid, thread.tid) for link in one.members):
            age_ns = now_ns - one.since_ns
            told = f"{clean(ring(one.members))}, for {_lasting(age_ns)}"
            yield from wrapped(Text(), told, width, f"bold {palette.ALARM}")
    if thread.past:
        yield _cut(_past(thread, frame), width)
    yield Text()


def _of(frame: Frame, lately: str) -> str:
    return lately if frame.position.window is None else "window"


def _past(thread: TargetThread, frame: Frame) -> Text:
    """Say what it did in the time of its strip, and for how long."""
    spent: Counter[Doing | None] = Counter()
    for one in thread.past:
        for doing, ns in one.spent:
            spent[doing] += ns
    lived_ns = max(spent.total(), 1)
    most = [(palette.ink_for(doing), ns) for doing, ns in spent.most_common()]
    told = [(f"  {ink.glyph} {ink.name} {percent(ns / lived_ns)}", ink.colour) for ink, ns in most]
    return Text.assemble((f"{_of(frame, 'last')} {span(lived_ns / _NS)}  ", palette.TEXT), stacked(most, _BAR), *told)


def _stack(thread: TargetThread, frame: Frame, width: int) -> Iterator[Text]:
    if not thread.stack:
        why = not_read(frame) or "it runs no Python, or was not read yet"
        yield Text.assemble(("stack  ", palette.STRONG), (fit(why, max(0, width - 7)).rstrip(), palette.QUIET))
        return
    age_ns = frame.view.now_ns - (thread.stack_ns or 0)
    old = f"as it was {_lasting(age_ns)} ago" if age_ns > _OLD_NS else "innermost first"
    yield Text.assemble(("stack  ", palette.STRONG), (old, palette.QUIET))
    yield from (_frame(one, width) for one in thread.stack)


def _frame(frame: CodeFrame, width: int) -> Text:
    """Own code stands out; native code has no place."""
    kind = kind_of(frame)
    name = clean(frame.function)
    if kind == "native":
        return _cut(Text(f"  {name}  (native)", style=palette.QUIET), width)
    place = clean(f"{frame.file}:{frame.line}" if frame.line else frame.file)
    style, quieter = (palette.STRONG, palette.TEXT) if kind == "own" else (palette.TEXT, palette.QUIET)
    left = max(width - cell_len(name) - 4, 0)
    return _cut(Text.assemble((f"  {name}", style), (f"  {fit_path(place, left).rstrip()}", quieter)), width)


def _lasting(ns: int) -> str:
    return span(ns / _NS) if ns >= _NS else duration_ns(max(ns, 0))


def _cut(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    return text
