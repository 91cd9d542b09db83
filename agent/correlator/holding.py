"""Who held what a request waited for: threads and their places in the code, as those tell that ended its waits."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.collecting import blocked_for
from perfwatch.agent.correlator.findings import counted, milliseconds, named, thread_name, waits_in
from perfwatch.agent.correlator.places import is_scaffolding, module_of, telling
from perfwatch.agent.correlator.series import Span
from perfwatch.agent.correlator.wording import at
from perfwatch.agent.model import Bucket, Evidence, Frame, Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.correlator.code import Sighting
    from perfwatch.agent.correlator.context import Context
    from perfwatch.probes.records import Waker

MOSTLY: Final = 0.5
_MAX_READINGS: Final = 512
_INNERMOST: Final = 6


class Holding(NamedTuple):
    """A place in the code at which some thread gave up what was waited for."""

    place: str
    waker: Waker
    """The thread that ended most of these waits."""
    waited_ns: int


def holdings(request: Request, bucket: Bucket) -> list[Holding]:
    """Return where the threads were that ended the waits, the one that was waited for longest first."""
    spent: Counter[tuple[int, Waker]] = Counter()
    for wait in waits_in(request, bucket):
        if wait.waker is not None and wait.waker_stack is not None:
            spent[wait.waker_stack, wait.waker] += wait.blocked_ns
    waited: Counter[str] = Counter()
    wakers: dict[str, Counter[Waker]] = {}
    for (stack, waker), spent_ns in spent.items():
        place = _place(request.record.code.stack(stack))
        if place is not None:
            waited[place] += spent_ns
            wakers.setdefault(place, Counter())[waker] += spent_ns
    return [Holding(place, wakers[place].most_common(1)[0][0], spent_ns) for place, spent_ns in waited.most_common()]


def explain_holder(request: Request, bucket: Bucket, what: str, context: Context) -> Iterator[Evidence]:
    """Name the place that was waited for longest: `holder` where that is most of the wait, else `one_holder`.

    `what` is what its thread did there to end the wait: `released it`.
    """
    held = holdings(request, bucket)
    if not held:
        return
    place, waker, waited_ns = held[0]
    thread = f"thread {thread_name(waker, context)}"
    idle = "" if waker.request is not None else " (which served no request)"
    text = f"{milliseconds(waited_ns):.1f} ms of it until {thread}{idle} {what} in {place}"
    yield Evidence(_name(waited_ns, request.ledger[bucket]), place, text)


def explain_gil_holder(request: Request, context: Context) -> Iterator[Evidence]:
    """Name who held the interpreter lock: by those that gave it up; else by readings that found it held meanwhile.

    (A wait for this lock ends by the clock each 5 ms, and then by nobody.)
    """
    told = list(explain_holder(request, "gil", "gave it up", context))
    if any(one.name == "holder" for one in told):
        yield from told
        return
    seen = _holding(request, context)
    places: Counter[str] = Counter()
    threads: dict[str, Counter[int]] = {}
    for one in seen:
        place = _place(one.frames)
        if place is not None:
            places[place] += 1
            threads.setdefault(place, Counter())[one.tid] += 1
    if not places:
        yield from told
        return
    [(place, count)] = places.most_common(1)
    tid = threads[place].most_common(1)[0][0]
    name = context.around.code.interpreters.thread_name(request.record.pid, tid) or str(tid)
    who = f"thread {name}" + (f" and {counted(len(threads[place]) - 1, 'other')}" if len(threads[place]) > 1 else "")
    text = f"in {count} of {counted(len(seen), 'reading')} meanwhile {who} held it, in {place}"
    yield Evidence(_name(count, len(seen)), place, text)
    serving = context.traffic.served_by(request.record.pid, tid, seen[-1].at_ns)
    if serving is not None:
        yield Evidence("holder_request", named(serving), f"thread {name} was serving {named(serving)}")


def awaits_signal(request: Request) -> bool:
    """Whether most of the time for locks was spent until another thread signalled: a result, an event, an item.

    Its stack tells: `threading` waits for those on a lock of its own, that nobody holds for long.
    """
    spent: Counter[int] = Counter()
    for wait in waits_in(request, "lock"):
        if wait.stack is not None:
            spent[wait.stack] += wait.blocked_ns
    code = request.record.code
    signalled_ns = sum(spent_ns for stack, spent_ns in spent.items() if _is_signal(code.stack(stack)))
    return signalled_ns > MOSTLY * request.ledger["lock"]


def _is_signal(frames: Sequence[Frame]) -> bool:
    inner = [frame for frame in frames[:_INNERMOST] if not frame.is_native]
    waiting = [frame for frame in inner if module_of(frame) == "threading"]
    permit = any(frame.function.rpartition(".")[2] in ("acquire", "__enter__") for frame in waiting)
    return bool(waiting) and inner[0] is waiting[0] and not permit


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
    inside = [one for one in others if any(start <= one.at_ns < end for start, end in waits)]
    return inside or others


def _name(some: float, whole: float) -> str:
    return "holder" if some >= MOSTLY * whole else "one_holder"
