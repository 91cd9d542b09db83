"""The page of memory: how much, whether it grows, until when there is room, and what the collectors did."""

import msgspec
import pytest
import runtimes
from fakes import SECOND, FakeSource, generate, session_info
from tui_driving import open_page, opened, scenario, screen, shows

from perfwatch.agent.model import ProbeStatus
from perfwatch.agent.model_memory import GcRuns, Growth, MemoryState
from perfwatch.tui.screens.memory import MemoryScreen
from perfwatch.tui.widgets.gc_rows import GcRows
from perfwatch.tui.widgets.memory_use import grows

SAID = [
    "resident memory  384 MiB in 2 processes; pages that they share count in each",
    "grows by 12 MiB a minute (11 MiB to 13 MiB), over 1m 59s",
    "4313    324 MiB        -  284 MiB      0 B      52.2          1.4 +12 MiB/min",
    "4314     60 MiB        -   20 MiB      0 B      52.0          0.0",
    "100 MiB of 512 MiB left: the limit of /shop.service is met first; at its growth that is full in 8m 20s",
    "/shop.service: 412 MiB of memory used of 512 MiB allowed, its memory limit was reached 3 times",
    "host: 3.0 GiB of 8.0 GiB available, 1.0 GiB of 2.0 GiB swap used, 1.2 MB/s read back from swap",
    "1 process killed for want of memory since attaching",
    "process 4313: 12.3 runs a second, 2.1 % of the time, the longest 210 ms, 111, 11, 1 runs by generation",
    "since attaching: 12.3 runs a second",
    "not known from outside",
]
RUNS = [
    "210 ms    2     48k  worker_1 of 4313, serving GET /search",
    "~20 ms    -       -  a thread that is not known of 4313",
]


def page(*, size=(150, 70), info=None, **changes):
    stream = FakeSource(generate(5), info=info or session_info())
    return opened(stream, size=size, judge_factory=runtimes.judge(**changes))


@scenario
async def test_all_that_is_known_is_told():
    async with page() as pilot:
        await open_page(pilot, "5", MemoryScreen)
        text = screen(pilot)
    unwrapped = " ".join(text.split())
    for part in SAID:
        assert part in text or " ".join(part.split()) in unwrapped, part
    for run in RUNS:
        assert run in text


@scenario
async def test_the_longest_runs_take_the_place_of_the_newest():
    async with page() as pilot:
        await open_page(pilot, "5", MemoryScreen)
        rows = pilot.app.screen.query_one(GcRows)
        newest = [rows.item(key).started_ns for key in rows.keys]
        assert newest == sorted(newest, reverse=True)
        await pilot.press("o")
        await shows(pilot, "longest runs")
        longest = [rows.item(key).paused_ns for key in rows.keys]
        assert longest == sorted(longest, reverse=True)


@scenario
async def test_what_is_not_known_is_said_to_be_so():
    counted = runtimes.interpreter(gc_longest_ms=None, gc_share=None)
    seen = {"interpreters": (counted,)}
    probe = ProbeStatus("memory", "unavailable", "its processes are hidden", "its memory", "run perfwatch as root")
    stream = FakeSource(generate(5), info=session_info(probes=(probe,)))
    bare = {"memory": MemoryState(), "gc_runs": GcRuns()}
    queues = runtimes.at_work(runtimes.judge()(stream.info).view()).queues
    told = msgspec.structs.replace(queues, **seen)
    async with opened(
        stream, size=(120, 50), judge_factory=runtimes.judge(**bare, queues=told, queues_overall=told)
    ) as pilot:
        await open_page(pilot, "5", MemoryScreen)
        text = screen(pilot)
    assert "not read: its processes are hidden run perfwatch as root" in text
    assert "they are counted, but not seen one by one: how long they took is not known" in text
    assert "none was seen one by one; see above for how many were counted" in text


@scenario
async def test_a_target_without_a_collection_says_so():
    async with page(gc_runs=GcRuns(), queues_overall=runtimes.model.Queues()) as pilot:
        await open_page(pilot, "5", MemoryScreen)
        assert "no run so far" in screen(pilot)


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (250, 80)])
@scenario
async def test_no_line_is_wider_than_the_terminal(size):
    async with page(size=size) as pilot:
        await open_page(pilot, "5", MemoryScreen)
        lines = screen(pilot).splitlines()
    assert max(map(len, lines)) <= size[0]
    assert len(lines) == size[1]


def test_growth_in_words():
    assert grows(None) == "no growth that could be told from its scatter"
    told = grows(Growth(12.4 * runtimes.MIB, -1.0, 20 * runtimes.MIB, 300 * SECOND))
    assert told == "grows by 12 MiB a minute (0 B to 20 MiB), over 5m 00s"
