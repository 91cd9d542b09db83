"""The section on memory: what the target held over time and by process, what is full first, the longest collections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.wording import duration
from perfwatch.agent.report_html.charts import Chart, Times, chart
from perfwatch.agent.report_html.curves import Line
from perfwatch.agent.report_html.markup import Html, element, joined, listed, section, table
from perfwatch.agent.report_layout import time_of_day
from perfwatch.agent.report_places import collector
from perfwatch.agent.report_sentences import binary, took

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.report_contract import Report
    from perfwatch.agent.report_contract_memory import GcRun, Growth, Memory, ProcessMemory

_PROCESSES: Final = 20
_RUNS: Final = 15


def memory(report: Report) -> Html:
    """Return memory, and what the interpreters' collectors and locks did."""
    held = report.memory
    told = listed(filter(None, map(collector, report.queues.interpreters)))
    collections = () if held is None else _collections(held)
    parts = Html() if held is None else _held(held)
    return section("memory", "Memory and garbage collection", parts, told, *collections)


def _held(held: Memory) -> Html:
    heads = ("process", "RSS", "PSS", "USS", "swap", "growth a minute")
    rows = (tuple(_process(one)) for one in held.processes[:_PROCESSES])
    processes = table(heads, rows, frozenset(range(1, len(heads))))
    return joined((_chart(held), listed(_room(held)), processes))


def _collections(held: Memory) -> Iterator[Html]:
    heads = ("began", "paused", "generation", "freed", "process", "delayed")
    runs = table(heads, map(_run, held.gc_longest[:_RUNS]), frozenset({1, 2, 3, 4}))
    if runs:
        yield element("h3", "The longest collections")
        yield runs


def _chart(held: Memory) -> Html:
    """Draw the RSS; the readings lie at about even distances."""
    course = held.course
    if len(course) < 2:  # noqa: PLR2004 - one reading has no course
        return Html()
    each = (course[-1].at - course[0].at) / (len(course) - 1)
    line = Line("RSS", "area", [float(one.rss_bytes) for one in course])
    drawn = Chart("Memory", f"{binary(course[-1].rss_bytes)} at the end", [line], binary, unit=float(1 << 20))
    return element("div", chart(drawn, Times(course[0].at, each, len(course))), class_="charts")


def _room(held: Memory) -> Iterator[str]:
    if held.growth is not None:
        yield f"grew by {_grown(held.growth)} a minute over the last {duration(held.growth.over_s * 1e9)}"
    room = held.room
    if room is not None:
        until = "" if room.full_in_s is None else f"; full in {duration(room.full_in_s * 1e9)} if it goes on like that"
        yield f"{room.of}: {binary(room.free_bytes)} of {binary(room.limit_bytes)} left{until}"


def _process(one: ProcessMemory) -> Iterator[str]:
    yield str(one.pid)
    for size in (one.rss_bytes, one.pss_bytes, one.uss_bytes, one.swap_bytes):
        yield "-" if size is None else binary(size)
    yield "-" if one.growth is None else _grown(one.growth)


def _grown(one: Growth) -> str:
    return f"{binary(one.bytes_min)} ({binary(max(one.low, 0))} to {binary(max(one.high, 0))})"


def _run(one: GcRun) -> tuple[str, ...]:
    generation, freed = ("?" if figure is None else str(figure) for figure in (one.generation, one.collected))
    return (time_of_day(one.at), took(one.paused_ms), generation, freed, str(one.pid), one.serves or "")
