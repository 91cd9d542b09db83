"""Why a request collected garbage: which runs of the collector, how long, what for, and who else had to wait."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.collecting import blocked_for, gc_ns_of, is_estimate, overlap_ns, own_pauses, stretches
from perfwatch.agent.correlator.findings import Explanation, amount, counted, milliseconds, span_of
from perfwatch.agent.correlator.interpreters import thresholds
from perfwatch.agent.correlator.series import Span
from perfwatch.agent.correlator.shares import places_in
from perfwatch.agent.correlator.wording import at, size
from perfwatch.agent.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.model import Request
    from perfwatch.probes.frames import GcPause

_EXPLICIT: Final = "Remove the gc.collect() in {}: it walks all objects that are alive."
_FREEZE: Final = (
    "Call gc.freeze() once the application is loaded (in the parent, before workers are forked): "
    "what lives as long as the process is then never walked again."
)
_LESS_OFTEN: Final = (
    "Collect less often: gc.set_threshold(50_000, 20, 20), then look at the memory; "
    "or gc.disable() with a gc.collect() between requests."
)
_CYCLES: Final = (
    "Break the reference cycles that it finds (weakref, no stored tracebacks, close what refers to itself): "
    "what is not in a cycle is freed without the collector."
)
_SMALLER: Final = (
    "Keep fewer objects alive (caches, ORM sessions): the more there are, the longer a full collection takes."
)
_FOUND_MUCH: Final = 1_000
"""Objects freed by a run that was worth it."""
_MINUTE_NS: Final = 60_000_000_000
_GREW: Final = 0.05
_OLDEST: Final = 2
_MAX_PAUSES: Final = 512
_BETWEEN_INSTRUCTIONS: Final = (3, 12)


def explain_gc(request: Request, context: Context) -> Explanation:
    """Say which runs these were, what they freed, how large the heap is, and whom else they held up."""
    code, record = context.around.code, request.record
    pauses = own_pauses(record, code)[-_MAX_PAUSES:]
    about = "about " if is_estimate(request, code) else ""
    evidence = [amount("gc", gc_ns_of(request, code), f"its thread ran the garbage collector for {about}{{}}")]
    evidence += _runs(pauses)
    if about:
        evidence.append(Evidence("gc_source", "polled", "its runs were seen in stack readings: short ones are missed"))
    freed = _freed_by(pauses, request, context)
    evidence += [*_freed(freed), *_held_up(pauses, request, context), *_settings(request, context)]
    evidence += _heap(request, context)
    return Explanation(tuple(evidence), _advice(request, freed))


def _runs(pauses: Sequence[GcPause]) -> Iterator[Evidence]:
    """Count the runs that were seen, by generation; the longest of them."""
    if not pauses:
        return
    by_generation = Counter(pause.generation for pause in pauses if pause.generation is not None)
    each = ", ".join(f"{count} of generation {generation}" for generation, count in sorted(by_generation.items()))
    text = f"in {counted(len(pauses), 'run')}" + (f": {each}" if each else "")
    yield Evidence("gc_runs", len(pauses), text)
    worst = max(pauses, key=lambda pause: pause.paused_ns)
    which = "" if worst.generation is None else f", of generation {worst.generation}"
    full = ": it walks every object that the collector knows" if worst.generation == _OLDEST else ""
    yield amount("gc_longest", worst.paused_ns, f"the longest pause was {{}}{which}{full}")


def _freed_by(pauses: Sequence[GcPause], request: Request, context: Context) -> tuple[int, int] | None:
    """Return the objects that its runs freed, and their number; else those of its process around then, the oldest's."""
    told = [pause.collected for pause in pauses if pause.collected is not None]
    if told:
        return sum(told), len(told)
    rate = context.around.code.interpreters.gc(request.record.pid, span_of(request))
    counted_by = () if rate is None else zip(reversed(rate.collected), reversed(rate.collections), strict=True)
    return next(((collected, runs) for collected, runs in counted_by if runs), None)


def _freed(freed: tuple[int, int] | None) -> Iterator[Evidence]:
    if freed is not None:
        collected, runs = freed
        yield Evidence("gc_collected", collected, f"{counted(runs, 'run')} freed {counted(collected, 'object')}")


def _held_up(pauses: Sequence[GcPause], request: Request, context: Context) -> Iterator[Evidence]:
    """Count the other requests of its process that waited for the interpreter lock while it collected."""
    spans, record = stretches(pauses), request.record
    held = [
        overlap_ns(blocked_for(other, "gil"), spans)
        for other in context.traffic.ended_beside(record, record.ended_ns)
        if other.id != record.id
    ]
    waited = [held_ns for held_ns in held if held_ns > 0]
    if waited:
        others, spent = counted(len(waited), "other request"), milliseconds(sum(waited))
        text = f"meanwhile {others} waited {spent:.1f} ms for the GIL, which it kept"
        yield Evidence("gc_held_up", len(waited), text)


def _settings(request: Request, context: Context) -> Iterator[Evidence]:
    latest = context.around.code.interpreters.latest(request.record.pid)
    if latest is None:
        return
    if limits := thresholds(latest):
        told = ", ".join(map(str, limits))
        yield Evidence("gc_thresholds", told, f"its thresholds are {told}")
    is_placed = any(one.is_gc and one.frames for one in request.stacks)
    if is_placed and (version := _version(latest.version)) >= _BETWEEN_INSTRUCTIONS:
        text = "since Python 3.12 it runs between two instructions: the place is where it ran, not what allocated"
        yield Evidence("gc_runs_at", ".".join(map(str, version[:2])), text)


def _heap(request: Request, context: Context) -> Iterator[Evidence]:
    """Say how large the process is, and by how much it grew in the minute before."""
    ended_ns = request.record.ended_ns
    held = context.around.memory.held_by(request.record.pid, Span(ended_ns - _MINUTE_NS, ended_ns))
    if held is not None:
        before, after = held
        grew = f", {size(after - before)} more than a minute before" if after - before >= _GREW * after else ""
        yield Evidence("rss_bytes", after, f"its process holds {size(after)} of memory{grew}")


def _advice(request: Request, freed: tuple[int, int] | None) -> tuple[str, ...]:
    explicit: Counter[str] = Counter()
    for place, spent_ns in places_in(request.stacks, "gc"):
        if (place.called or "").endswith("gc.collect"):
            explicit[at(place.frame.function, place.frame.file, place.frame.line)] += spent_ns
    first = [_EXPLICIT.format(place) for place, _ in explicit.most_common(1)]
    found_much = freed is not None and freed[0] >= _FOUND_MUCH * freed[1]
    usual = (_CYCLES, _LESS_OFTEN, _FREEZE) if found_much else (_FREEZE, _LESS_OFTEN, _SMALLER)
    return (*first, *usual)[:3]


def _version(text: str) -> tuple[int, ...]:
    """Return `3.12.1` as numbers; empty where it is none."""
    parts = text.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isascii() and part.isdigit() for part in parts) else ()
