import threading

from fakes import FakeSource, generate
from tui_driving import opened, scenario, screen, shows, until

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.target import Candidate
from perfwatch.tui.screens.overview import OverviewScreen
from perfwatch.tui.screens.picker import PickerScreen

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
