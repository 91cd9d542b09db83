import re
import threading
import time

import msgspec
from fakes import FakeSource, generate
from tui_driving import opened, scenario, screen, shows, type_ahead, until

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.target import Candidate
from perfwatch.tui.screens.overview import OverviewScreen
from perfwatch.tui.screens.picker import PickerScreen
from perfwatch.tui.widgets.line import Line

SHOP = Candidate(4312, "gunicorn shop.wsgi", "3.12.4", "gunicorn", ("0.0.0.0:8000",), "www", 4)
SCRIPT = Candidate(99, "python backup.py", "3.11.2", None, (), "root", 0)


@scenario
async def test_processes_that_listen_stand_first():
    async with opened(None, candidates=lambda: [SCRIPT, SHOP]) as pilot:
        await shows(pilot, "backup.py")
        lines = screen(pilot).splitlines()
    shop = next(number for number, line in enumerate(lines) if "shop.wsgi" in line)
    script = next(number for number, line in enumerate(lines) if "backup.py" in line)
    assert shop < script
    for part in ("4312", "www", "3.12.4", "gunicorn", "0.0.0.0:8000"):
        assert part in lines[shop]


@scenario
async def test_nothing_to_attach_to_is_told():
    async with opened(None, candidates=list) as pilot:
        await shows(pilot, "no Python process runs here")


@scenario
async def test_enter_attaches_in_a_thread_and_opens_the_overview():
    source = FakeSource(generate(5))
    asked = []

    def attach(pid):
        asked.append((pid, threading.current_thread() is threading.main_thread()))
        return source

    async with opened(None, attach=attach, candidates=lambda: [SCRIPT, SHOP]) as pilot:
        await shows(pilot, "shop.wsgi")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))
        await shows(pilot, "GET  /search")
    assert asked == [(4312, False)]
    assert source.closed


@scenario
async def test_an_attach_that_fails_says_why_and_the_picker_stays():
    def attach(pid):
        raise PerfwatchError(f"no permission to trace {pid} [bold]", "run perfwatch as root")

    async with opened(None, attach=attach, candidates=lambda: [SHOP]) as pilot:
        await shows(pilot, "shop.wsgi")
        await pilot.press("enter")
        await shows(pilot, "✗ no permission to trace 4312 [bold] (run perfwatch as root)")
        assert isinstance(pilot.app.screen, PickerScreen)
        assert "shop.wsgi" in screen(pilot)


@scenario
async def test_while_it_attaches_it_says_so_and_does_not_attach_twice():
    release, asked = threading.Event(), []

    def attach(pid):
        asked.append(pid)
        release.wait(10)
        raise PerfwatchError("too late")

    async with opened(None, attach=attach, candidates=lambda: [SHOP]) as pilot:
        await shows(pilot, "shop.wsgi")
        await pilot.press("enter")
        await shows(pilot, "attaching to 4312")
        await pilot.press("enter")
        release.set()
        await shows(pilot, "too late")
    assert asked == [4312]


@scenario
async def test_the_list_is_kept_up_to_date():
    found = [SHOP]
    async with opened(None, candidates=lambda: list(found)) as pilot:
        await shows(pilot, "shop.wsgi")
        found[:] = [SCRIPT]
        await pilot.press("r")
        await until(pilot, lambda: "backup.py" in screen(pilot) and "shop.wsgi" not in screen(pilot))


@scenario
async def test_a_list_that_cannot_be_made_says_why():
    def candidates():
        raise PerfwatchError("cannot read /proc", "mount it")

    async with opened(None, candidates=candidates) as pilot:
        await shows(pilot, "✗ cannot read /proc (mount it)")


@scenario
async def test_it_says_what_each_uses_once_it_was_looked_at_twice_and_finds_by_typing():
    used = [3.0]

    def candidates():
        used[0] += 1000.0
        busy = msgspec.structs.replace(SHOP, cpu_s=used[0], rss_bytes=300 << 20, started_unix_s=time.time() - 7300)
        return [busy, msgspec.structs.replace(SCRIPT, cpu_s=1.0)]

    async with opened(None, candidates=candidates, size=(140, 30)) as pilot:
        await shows(pilot, "shop.wsgi")
        await until(pilot, lambda: "300 MiB" in screen(pilot) and " 0 % " in screen(pilot))
        shop = next(line for line in screen(pilot).splitlines() if "shop.wsgi" in line)
        assert re.search(r" \d{4,} % +300 MiB +2h 01m ", shop)
        type_ahead(pilot, "/8000")
        await until(pilot, lambda: "backup.py" not in screen(pilot))
        assert "shop.wsgi" in screen(pilot)
        await pilot.press(*"x")
        await shows(pilot, "no Python process has '8000x' in it; esc shows all")
        type_ahead(pilot, "y\x1b")
        await shows(pilot, "backup.py")
        assert not pilot.app.screen.query_one(Line).display


@scenario
async def test_a_pid_that_is_typed_ahead_with_enter_is_attached_to():
    source = FakeSource(generate(5))
    async with opened(None, attach={SCRIPT.pid: source}.__getitem__, candidates=lambda: [SCRIPT, SHOP]) as pilot:
        await shows(pilot, "shop.wsgi")
        type_ahead(pilot, f"/{SCRIPT.pid}\n")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))


@scenario
async def test_one_detaches_attaches_to_another_and_changes_ones_mind():
    sources = {SHOP.pid: FakeSource(generate(5)), SCRIPT.pid: FakeSource(generate(8))}
    async with opened(None, attach=sources.__getitem__, candidates=lambda: [SHOP, SCRIPT]) as pilot:
        await shows(pilot, "shop.wsgi")
        await pilot.press("enter")
        await shows(pilot, "GET  /search")
        await pilot.press("a")
        await shows(pilot, "Now: 4312 gunicorn")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))
        assert not sources[SHOP.pid].closed
        await pilot.press("9", "a")
        await shows(pilot, "backup.py")
        await pilot.press("down", "enter")
        await until(pilot, lambda: sources[SHOP.pid].closed and isinstance(pilot.app.screen, OverviewScreen))
        await shows(pilot, "14:13:27")  # the end of the other one
        await pilot.press("D")
        await until(pilot, lambda: sources[SCRIPT.pid].closed and isinstance(pilot.app.screen, PickerScreen))
        assert pilot.app.frame is None
        assert pilot.app.check_action("detach", ()) is False


@scenario
async def test_where_one_cannot_attach_there_is_nothing_to_detach_from():
    async with opened(FakeSource(generate(5))) as pilot:
        await pilot.press("D", "a")
        assert isinstance(pilot.app.screen, OverviewScreen)
        assert "detach" not in [active.binding.id for active in pilot.app.screen.active_bindings.values()]
