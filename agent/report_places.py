"""What a text report says of the code: the places of endpoints and slow requests, interpreter locks and collectors.

Names and files stand in the sentences as they came: whoever shows them makes them harmless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.places import telling
from perfwatch.agent.correlator.wording import at, cut, percent
from perfwatch.agent.model import Frame, told_route
from perfwatch.agent.report_cells import clean, fit
from perfwatch.agent.report_layout import rule, time_of_day
from perfwatch.agent.report_sentences import counted, share, took

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.model_queues import Interpreter
    from perfwatch.agent.report_contract import Frame as Place
    from perfwatch.agent.report_contract import Report

_ENDPOINTS: Final = 12
_PLACES: Final = 3
_REQUESTS: Final = 10
_MAX_CALL: Final = 48
_LEAST: Final = 0.05
_HOLDERS: Final = 3


def code_section(report: Report, width: int) -> list[str]:
    """Say where in the code the time of endpoints and of the slowest requests was spent, as far as it is known."""
    lines = [
        line
        for one in report.endpoints[:_ENDPOINTS]
        for line in _listed(f"{one.method} {told_route(one.route, one.service)}", one.frames, width)
    ]
    slowest = sorted(report.slow_requests, key=lambda one: -one.duration_ms)[:_REQUESTS]
    for one in slowest:
        if told := "; ".join(map(place_words, _notable(one.frames))):
            when = time_of_day(one.start)
            lines.append(fit(clean(f"{when}  {told}"), width))
    return [rule("where in the code", width), *lines] if lines else []


def place_in(frames: Iterable[Place]) -> str:
    """Return what tells most of a stack: `Cache.get() at cache.py:61`; nothing of an empty one."""
    found = telling([Frame(one.function, one.file, one.line, not one.file) for one in frames])
    return "" if found is None else at(found.function, found.file, found.line)


def interpreter_lock(one: Interpreter) -> str:
    """Say how busy an interpreter lock was, and who held it; nothing where it was not looked at."""
    if one.gil_held is None:
        return ""
    most = ", ".join(f"{held.name or f'thread {held.tid}'} {percent(held.share)}" for held in one.holders[:_HOLDERS])
    facts = [f"held {percent(one.gil_held)} of the time"]
    facts += [f"changed hands {one.gil_handoffs_s:.0f} times a second"] if one.gil_handoffs_s is not None else []
    whom = f"; by {most}" if most else ""
    return f"process {one.pid} (Python {one.version}): {', '.join(facts)}{whom}"


def collector(one: Interpreter) -> str:
    """Say how often a garbage collector ran, and how long; nothing where that is not known."""
    facts = [f"{one.gc_pauses_s:.1f} runs a second"] if one.gc_pauses_s is not None else []
    if one.gc_share is not None and one.gc_longest_ms:
        facts += [f"{share(one.gc_share)} of the time", f"the longest {took(one.gc_longest_ms)}"]
    if not facts:
        return ""
    if any(one.gc_collections):
        by_generation = ", ".join(map(str, one.gc_collections))
        facts.append(f"{by_generation} runs by generation freed {counted(one.gc_collected, 'object')}")
    limits = f"; thresholds {', '.join(map(str, one.gc_thresholds))}" if one.gc_thresholds else ""
    return f"process {one.pid}: {', '.join(facts)}{limits}"


def _listed(name: str, places: Sequence[Place], width: int) -> Iterator[str]:
    """Yield an endpoint and its places, one a line."""
    told = [fit(f"   {clean(place_words(place))}", width) for place in _notable(places)]
    if told:
        yield fit(clean(name), width)
        yield from told


def _notable(places: Sequence[Place]) -> list[Place]:
    return [place for place in places[:_PLACES] if place.share >= _LEAST]


def place_words(place: Place) -> str:
    """Say a place and its share: `76 % Cache.get() at cache.py:61`."""
    calling = f" › {cut(place.called, _MAX_CALL)}" if place.called else ""
    return f"{percent(place.share):>4} {at(place.function, place.file, place.line)}{calling}"
