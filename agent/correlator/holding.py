"""Who held what a request waited for: threads and their places in the code, as those tell that ended its waits."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.collecting import blocked_for, is_inside
from perfwatch.agent.correlator.findings import counted, milliseconds, request_of, serving, thread_name, waits_in
from perfwatch.agent.correlator.lines import line_before
from perfwatch.agent.correlator.permits import awaited
from perfwatch.agent.correlator.places import is_scaffolding, telling
from perfwatch.agent.correlator.series import Span
from perfwatch.agent.correlator.wording import at
from perfwatch.agent.model import Evidence, Frame, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.correlator.code import Sighting
    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.model import Wait
    from perfwatch.probes.records import Waker

MOSTLY: Final = 0.5
_MAX_READINGS: Final = 512
_SIGNALS: Final = frozenset({"signal", "item"})
_TELLING: Final = 3
"""So many readings, or waits that a thread ended, stand for the others."""


class Holding(NamedTuple):
    """A place in the code at which threads gave up what was waited for."""

    place: str
    holder: Waker
    """The thread that kept it longest."""
    kept_ns: int
    times: int
    """Of how many waits that ended one."""


def holdings(request: Request, waits: Iterable[Wait], context: Context) -> list[Holding]:
    """Return where those were that a request waited for in some waits, the one that it waited for longest first."""
    kept: dict[str, Counter[Waker]] = {}
    times: Counter[str] = Counter()
    known: dict[tuple[int, int | None], str | None] = {}
    for wait in waits:
        for one in line_before(request.record.code, wait, context.traffic):
            stack = (id(one.code), one.stack)
            if stack not in known:
                known[stack] = _place(one.code.stack(one.stack))
            place = known[stack]
            if place is not None:
                kept.setdefault(place, Counter())[one.holder] += one.kept_ns
                times[place] += 1
    found = [
        Holding(place, holders.most_common(1)[0][0], holders.total(), times[place]) for place, holders in kept.items()
    ]
    return sorted(found, key=lambda one: -one.kept_ns)


def explain_holder(held: Sequence[Holding], spent_ns: int, did: str, context: Context) -> Iterator[Evidence]:
    """Name the place that was waited for longest: `holder` where that is most of the wait, else `one_holder`.

    `did` is what its thread did there to end the wait: `released it`.
    """
    for one in held[:1]:
        thread = f"thread {thread_name(one.holder, context)} (tid {one.holder.tid})"
        idle = "" if one.holder.request is not None else ", which served no known request,"
        text = f"{milliseconds(one.kept_ns):.1f} ms of it until {thread}{idle} {did} in {one.place}"
        yield Evidence(_name(one.kept_ns, spent_ns), one.place, text)
        yield from serving(request_of(one.holder, context))


def explain_gil_holder(request: Request, context: Context) -> Iterator[Evidence]:
    """Name who held the interpreter lock.

    A wait for this lock ends by the clock each 5 ms, and then by nobody. So those that were seen giving it up stand for
    all, unless readings of all threads found who held it meanwhile.
    """
    held, spent_ns = holdings(request, waits_in(request, "gil"), context), request.ledger["gil"]
    told_ns = sum(one.kept_ns for one in held)
    seen = _holding(request, context)
    if told_ns < MOSTLY * spent_ns and len(seen) >= _TELLING:
        yield from _seen_holding(seen, request.record.pid, context)
        return
    enough = told_ns >= MOSTLY * spent_ns or sum(one.times for one in held) >= _TELLING
    for one in held[:1]:
        thread = f"thread {thread_name(one.holder, context)} (tid {one.holder.tid})"
        ended = f"{counted(one.times, 'wait')}, {milliseconds(one.kept_ns):.1f} ms"
        text = f"{thread} gave it up in {one.place}, which ended {ended}"
        yield Evidence(_name(one.kept_ns, told_ns) if enough else "one_holder", one.place, text)
        yield from serving(request_of(one.holder, context))


def _seen_holding(seen: Sequence[Sighting], pid: int, context: Context) -> Iterator[Evidence]:
    """Name the place at which most readings found the interpreter lock held by another thread."""
    threads: dict[str, Counter[int]] = {}
    for one in seen:
        place = _place(one.frames)
        if place is not None:
            threads.setdefault(place, Counter())[one.tid] += 1
    for place in sorted(threads, key=lambda name: -threads[name].total())[:1]:
        (tid, _), count = threads[place].most_common(1)[0], threads[place].total()
        name = context.around.code.interpreters.thread_name(pid, tid) or str(tid)
        others = len(threads[place]) - 1
        who = f"thread {name}" + (f" and {counted(others, 'other')}" if others else "")
        text = f"in {count} of {counted(len(seen), 'reading')} meanwhile {who} held it, in {place}"
        yield Evidence(_name(count, len(seen)), place, text)
        yield from serving(context.traffic.served_by(pid, tid, seen[-1].at_ns))


def awaits_signal(request: Request, waits: Iterable[Wait], spent_ns: int) -> bool:
    """Whether most of these waits lasted until another thread or task signalled: a result, an event, an item.

    Their stacks tell: `threading` waits for those on a lock of its own, that nobody holds for long.
    """
    spent: Counter[int] = Counter()
    for wait in waits:
        if wait.stack is not None:
            spent[wait.stack] += wait.blocked_ns
    code = request.record.code
    known = {stack: awaited(code.stack(stack)) for stack in spent}
    signalled = (spent[stack] for stack, one in known.items() if one is not None and one.kind in _SIGNALS)
    return sum(signalled) > MOSTLY * spent_ns


def _place(frames: Sequence[Frame]) -> str | None:
    """Return what tells most of a stack, where that tells anything: a server's loop does not."""
    frame = telling(frames)
    return None if frame is None or is_scaffolding(frame) else at(frame.function, frame.file, frame.line)


def _holding(request: Request, context: Context) -> Sequence[Sighting]:
    """Return the readings that found another thread holding the lock; those in its waits for it, if there are any."""
    record = request.record
    seen = context.around.code.holders(record.pid, Span(record.started_ns, record.ended_ns))
    others = [one for one in seen[:: len(seen) // _MAX_READINGS + 1] if one.tid != record.tid]
    waits = blocked_for(record, "gil")
    inside = [one for one in others if is_inside(one.at_ns, waits)]
    return inside or others


def _name(some: float, whole: float) -> str:
    return "holder" if some >= MOSTLY * whole else "one_holder"
