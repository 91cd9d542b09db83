"""What each thread does at present, of all that is known of it: for the view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.findings import named
from perfwatch.agent.correlator.thread_state import doing_in
from perfwatch.agent.model_threads import TargetThread

if TYPE_CHECKING:
    from perfwatch.agent.correlator.code import Sighting
    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.correlator.histories import History
    from perfwatch.agent.correlator.series import Span
    from perfwatch.agent.model_threads import Doing

_FRESH_NS: Final = 1_500_000_000
"""An older reading of a stack does not say who holds the interpreter lock now."""


class _Known(NamedTuple):
    """What the interpreter of a process says of its threads."""

    names: dict[int, str]
    held: dict[int, float] | None


def threads_now(context: Context, lately: Span) -> tuple[TargetThread, ...]:
    """Return the threads by process and number, each with how long it held the lock lately; costs 5 us each."""
    around = context.around
    interpreters, known = around.code.interpreters, dict[int, _Known]()
    told = []
    for history in around.histories.all():
        pid = history.pid
        if pid not in known:
            known[pid] = _Known(interpreters.names(pid), interpreters.held(pid, lately))
        told.append(_told(history, known[pid], context))
    return tuple(told)


def _later(history: History, seen: Sighting | None) -> Doing | None:
    """Return what a stack says that was read after the last look at the thread; None where it says nothing."""
    if seen is None or seen.at_ns <= history.at_ns:
        return None
    return doing_in(seen.frames, holds_gil=seen.holds_gil)


def _told(history: History, known: _Known, context: Context) -> TargetThread:
    code, state, now_ns = context.around.code, history.state, context.now_ns
    seen = code.newest(state.tid)
    opened = context.around.histories.open.get(state.tid)
    doing, since_ns, call = history.doing, history.since_ns, state.call
    if opened is not None:
        doing, since_ns, call = opened.state, opened.state_since_ns, opened.call
    elif (later := _later(history, seen)) is not None:
        doing, since_ns, call = (doing, since_ns, call) if later == doing else (later, None, None)
    elif history.cells and history.cells[-1].is_inside:
        doing, since_ns, call = "idle", None, None  # that request is over
    cpu, wanted = history.used
    return TargetThread(
        pid=history.pid,
        tid=state.tid,
        name=known.names.get(state.tid, state.name),
        doing=doing,
        since_ns=since_ns,
        call=call,
        cpu=cpu,
        wanted_cpu=wanted,
        gil=None if known.held is None else known.held.get(state.tid, 0.0),
        holds_gil=seen is not None and seen.holds_gil and seen.at_ns >= now_ns - _FRESH_NS,
        request=None if opened is None else opened.id,
        serves=None if opened is None else named(opened),
        stack=() if seen is None else seen.frames,
        stack_ns=None if seen is None else seen.at_ns,
        kept=history.kept(now_ns),
        past=history.past,
    )
