"""The host screen: every queue is on it, live and replayed; it scrolls, and leaves time its keys."""

import pytest
import queued
from fakes import SECOND, FakeSource, generate, session_info
from tui_driving import open_page, opened, scenario, screen, settled, shows, until

from perfwatch.agent.model_lately import Lately
from perfwatch.agent.model_queues import CgroupLimit, Queues
from perfwatch.tui.screens.host import HostScreen
from perfwatch.tui.screens.overview import OverviewScreen
from perfwatch.tui.screens.sectioned import Scrolled
from perfwatch.tui.screens.sockets import SocketsScreen
from perfwatch.tui.widgets.charted import CpuCharts

INFO = session_info(probes=queued.PROBES)
SAID = {
    "resources": ["cpu", "71 %", "34 %", "71 % busy, 2.1 threads", "952 of 1024 in process 4313"],
    "cpus": ["1 of 2 CPUs full", "75 %  52 % user, 20 % system, 3 % steal, 4 % iowait", "93 %  61 % user, 32 % system"],
    "run queue": ["2.1 threads waited, median 2, at most 9; 2 CPUs", "4313  gunicorn", "812  postgres", "0.72 CPUs"],
    "pressure": ["12 %", "3 %/2 %", "host"],
    "cgroups": [
        "shop.service: 0.2 CPUs allowed, 0.20 used, throttled in 84 %",
        "of 512 MiB allowed",
        "84 % of its periods throttled",
        "39 % of its memory",
    ],
    "threads": ["3 running or runnable, 31 sleeping, 1 in uninterruptible sleep"],
}


def source(**options):
    return FakeSource(generate(30), info=INFO, **options)


def host(stream=None, *, size=(120, 100), **changes):
    return opened(stream or source(), size=size, judge_factory=queued.judge(**changes))


@pytest.mark.parametrize(
    ("label", "size"), [("live", (80, 110)), ("replay 4x", (120, 100)), ("live", (180, 60))], ids=str
)
@scenario
async def test_every_queue_is_told(label, size):
    async with host(source(label=label), size=size) as pilot:
        await open_page(pilot, "9", HostScreen)
        text = screen(pilot)
    unwrapped = " ".join(text.split())
    for title, parts in SAID.items():
        assert title in text
        for part in parts:
            assert part in text or part in unwrapped, f"{title}: {part}"
    assert "host web-1   over the last 10 s   2 CPUs   8.0 GiB   Linux 6.18.5 x86_64" in text


@pytest.mark.parametrize("key", ["9", "1", "escape"])
@scenario
async def test_the_key_leads_there_and_back(key):
    async with host(size=(80, 24)) as pilot:
        await pilot.press("tab", "enter")
        await shows(pilot, "where the time went")
        await open_page(pilot, "9", HostScreen)
        await pilot.press(key)
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))


@scenario
async def test_a_small_terminal_scrolls_to_the_end():
    async with host(size=(80, 24)) as pilot:
        await open_page(pilot, "9", HostScreen)
        assert isinstance(pilot.app.focused, Scrolled)
        assert "in uninterruptible sleep" not in screen(pilot)
        await pilot.press("pagedown")
        await until(pilot, lambda: pilot.app.focused.scroll_offset.y > 0)
        await pilot.press("end")
        await shows(pilot, "in uninterruptible sleep")
        await pilot.press("home")
        await shows(pilot, "resources")


@scenario
async def test_a_page_that_was_open_before_changes_nothing_of_it():
    async with host(size=(100, 30)) as pilot:
        await open_page(pilot, "9", HostScreen)
        assert not pilot.app.screen.query_one(CpuCharts).display
        await pilot.press("4")
        await until(pilot, lambda: isinstance(pilot.app.screen, SocketsScreen))
        await open_page(pilot, "9", HostScreen)
        assert not pilot.app.screen.query_one(CpuCharts).display


@scenario
async def test_what_is_read_stays_in_place_while_figures_change():
    stream = source(step_s=3.0)
    stream.pause(paused=True)
    async with host(stream, size=(80, 24)) as pilot:
        await open_page(pilot, "9", HostScreen)
        await pilot.press("pagedown")
        await until(pilot, lambda: pilot.app.focused.scroll_offset.y > 0)
        place = pilot.app.focused.scroll_offset.y
        stream.seek(INFO.started_ns + 12 * SECOND)
        await until(pilot, lambda: pilot.app.frame.view.count > 0)
        await settled(pilot)
        assert pilot.app.focused.scroll_offset.y == place


@scenario
async def test_the_keys_of_time_work_there():
    stream = source()
    async with host(stream, size=(80, 24)) as pilot:
        await open_page(pilot, "9", HostScreen)
        await pilot.press("left", "space")
        await shows(pilot, "‖ paused")
    assert [call for call, _ in stream.calls] == ["seek", "pause"]


@scenario
async def test_in_the_filter_a_nine_is_a_character():
    async with host() as pilot:
        await pilot.press("/", "9")
        await until(pilot, lambda: pilot.app.choices.filter == "9")
        assert isinstance(pilot.app.screen, OverviewScreen)


@scenario
async def test_a_session_without_any_queue_has_nothing_to_show():
    nothing = {"queues": Queues(), "saturation": (), "lately": Lately()}
    async with opened(FakeSource(generate(5)), size=(80, 30), judge_factory=queued.judge(**nothing)) as pilot:
        await open_page(pilot, "9", HostScreen)
        text = screen(pilot)
    for title in SAID:
        assert f"   {title}" not in text


@pytest.mark.parametrize("size", [(60, 16), (60, 120), (80, 24), (96, 40), (155, 60), (156, 60), (250, 80)])
@scenario
async def test_no_line_is_wider_than_the_terminal(size):
    long = "/".join(["a-long-name-of-a-slice.slice"] * 12)
    limit = CgroupLimit("/" + long, 0.2, 0.2, 0.84, 412.0, 1, 2, 3, 4)
    async with host(size=size, queues=queued.queues(cgroups=(limit,))) as pilot:
        await open_page(pilot, "9", HostScreen)
        lines = screen(pilot).splitlines()
    assert max(map(len, lines)) <= size[0]
    assert len(lines) == size[1]
