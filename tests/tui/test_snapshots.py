"""What the screens look like: compared with stored pictures (`pytest --snapshot-update` after looking at new ones).

The view is a stored one, so that a new wording of a verdict does not change the pictures.
"""

from pathlib import Path

import asking
import msgspec
import pytest
import queued
import runtimes
import stacked
from fakes import SECOND, START_NS, FakeSource, generate, session_info
from tui_driving import screen, settled, shows, until

from perfwatch.agent.comparing import compare as compare_views
from perfwatch.agent.model import Cause, View, WhatIf
from perfwatch.agent.playing import Window
from perfwatch.agent.target import Candidate
from perfwatch.tui.app import PerfwatchApp
from perfwatch.tui.screens.comparison import comparison_sheet

REQUESTS = msgspec.json.decode((Path(__file__).parent / "fixtures" / "view_of_30_s.json").read_bytes(), type=View)
VIEW = asking.with_order_calls(stacked.with_endpoint_stacks(queued.crowded(REQUESTS)))


CAUSES = (Cause("lock", 0.78), Cause("chatty", 0.09), Cause("dependency", 0.06))
SUMMARY = "held by refresh_cache() at cache.py:88, because it waits for postgres 10.0.0.5:5432"


def with_reasons(view):
    """The view with who held the lock, what else there was, what would be gained, and how the CPUs were used."""
    verdict = msgspec.structs.replace(view.verdict, causes=CAUSES, summary=f"{view.verdict.summary} {SUMMARY}")
    gain = (WhatIf("lock", 91.0, 142.0),)
    first = msgspec.structs.replace(view.endpoints[0], verdict=verdict, what_if=gain)
    uses = (0.4 + 0.05 * (number * 7 % 11) for number in range(len(view.timeline)))
    seconds = (msgspec.structs.replace(one, cpu_use=use) for one, use in zip(view.timeline, uses, strict=True))
    return msgspec.structs.replace(
        view, verdict=verdict, endpoints=(first, *view.endpoints[1:]), timeline=tuple(seconds)
    )


PAGES = {"sockets": "4", "disk": "6", "calls": "7", "probes": "0"}


def sized(size):
    return "x".join(map(str, size))


class Stored:
    """A judge that has made up its mind."""

    def __init__(self, view=VIEW):
        self._view = view

    def feed(self, record):
        return ()

    def view(self, *, glance=False):
        return self._view


async def shown(pilot):
    await until(pilot, lambda: pilot.app.frame is not None)
    await settled(pilot)


@pytest.mark.parametrize(
    ("name", "size", "keys"),
    [
        ("overview", (100, 30), []),
        ("overview", (80, 24), []),
        ("overview", (160, 45), []),
        ("request", (100, 30), ["tab", "enter"]),
        ("request", (80, 24), ["tab", "enter"]),
        ("endpoint", (100, 30), ["enter"]),
        ("legend", (100, 30), ["l"]),
        ("host", (100, 40), ["9"]),
        ("host", (80, 24), ["9"]),
        ("host", (170, 45), ["9"]),
        ("sampled", (100, 30), []),
        ("request", (120, 40), ["tab", "enter"]),
        ("stack", (80, 24), ["tab", "enter", "t"]),
        ("endpoint", (120, 40), ["enter"]),
        ("calls", (80, 24), ["tab", "enter", "d"]),
        ("loop", (100, 30), ["tab", "down", "enter"]),
        ("overview", (220, 60), []),
        ("requests", (80, 24), ["2", "o"]),
        ("requests", (100, 30), ["2", "/", *"cause:lock took>400ms", "enter"]),
        ("requests", (160, 45), ["2", "o", "o"]),
        ("threads", (100, 30), ["3"]),
        ("threads", (80, 24), ["3"]),
        ("threads", (160, 45), ["3"]),
        ("memory", (100, 30), ["5"]),
        ("memory", (80, 24), ["5"]),
        ("memory", (160, 45), ["5"]),
        ("flame", (80, 24), ["8", "down", "down", "down"]),
        ("flame", (100, 30), ["8", "f"]),
        ("flame", (160, 45), ["8", "e", "x"]),
        ("endpoint", (80, 24), ["enter"]),
        ("endpoint", (300, 80), ["enter"]),
        ("legend", (80, 24), ["l"]),
        ("legend", (160, 45), ["l"]),
        ("stack", (100, 30), ["tab", "enter", "t"]),
        ("stack", (160, 45), ["tab", "enter", "t"]),
        ("calls", (100, 30), ["tab", "enter", "d"]),
        ("calls", (160, 45), ["tab", "enter", "d"]),
        ("loop", (80, 24), ["tab", "down", "enter"]),
        ("loop", (160, 45), ["tab", "down", "enter"]),
        ("sampled", (80, 24), []),
        ("sampled", (160, 45), []),
    ],
    ids=lambda value: sized(value) if isinstance(value, tuple) else None,
)
def test_screen(snap_compare, name, size, keys):
    compare(snap_compare, name, size, keys)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (170, 50)], ids=sized)
@pytest.mark.parametrize("name", PAGES)
def test_page(snap_compare, name, size):
    compare(snap_compare, name, size, [PAGES[name]])


def compare(snap_compare, name, size, keys):
    async def drive(pilot):
        await shown(pilot)
        await pilot.press(*keys)
        await settled(pilot)

    sampled = name == "sampled"
    view = VIEW
    if name in {"overview", "requests"}:
        view = with_reasons(VIEW)
    elif name in {"threads", "memory"}:
        view = runtimes.at_work(VIEW)
    info = session_info(
        command=f"gunicorn shop.wsgi --threads 4 --workers 4 -b :8000 --name {name}",
        fidelity="sampled" if sampled else "exact",
        probes=(queued.LEDGER_LOST if sampled else queued.PROBES[0], *queued.PROBES[1:]),
    )
    app = PerfwatchApp(FakeSource(generate(30), info=info), judge_factory=lambda _: Stored(view))
    assert snap_compare(app, terminal_size=size, run_before=drive)


WINDOW = Window(START_NS + 4 * SECOND, START_NS + 26 * SECOND)


@pytest.mark.parametrize("size", [(80, 24), (120, 30), (300, 80)], ids=sized)
@pytest.mark.parametrize(("name", "keys"), [("overview", []), ("threads", ["3"]), ("memory", ["5"])])
def test_window(snap_compare, name, keys, size):
    """Everything on screen is of the window."""

    async def drive(pilot):
        await shown(pilot)
        await pilot.press(*keys)
        await settled(pilot)

    view = runtimes.at_work(with_reasons(VIEW))
    app = PerfwatchApp(Windowed(generate(30), info=session_info()), judge_factory=lambda _: Stored(view))
    assert snap_compare(app, terminal_size=size, run_before=drive)


class Windowed(FakeSource):
    """A source that shows a window of what it has."""

    def _position(self):
        return msgspec.structs.replace(super()._position(), label="window", paused=True, window=WINDOW)


@pytest.mark.parametrize("size", [(80, 24), (120, 30), (300, 80)], ids=sized)
def test_comparison(snap_compare, size):
    async def drive(pilot):
        await shown(pilot)
        slower = msgspec.structs.replace(VIEW.endpoints[1], latency_ms=VIEW.endpoints[0].latency_ms)
        before = msgspec.structs.replace(VIEW, endpoints=VIEW.endpoints[:2])
        after = msgspec.structs.replace(with_reasons(VIEW), endpoints=(VIEW.endpoints[0], slower, VIEW.endpoints[2]))
        pilot.app.push_screen(
            comparison_sheet(compare_views(before, after), ("10:15:00-10:15:30", "10:16:00-10:16:30"))
        )
        await settled(pilot)

    app = PerfwatchApp(FakeSource(generate(30), info=session_info()), judge_factory=lambda _: Stored(VIEW))
    assert snap_compare(app, terminal_size=size, run_before=drive)


PROCESSES = (
    Candidate(
        4312,
        "gunicorn shop.wsgi -b :8000",
        "3.12.4",
        "gunicorn",
        ("0.0.0.0:8000",),
        "www",
        4,
        None,
        3.0,
        300 << 20,
        None,
        "flask",
    ),
    Candidate(
        88,
        "python manage.py runserver",
        "3.11.2",
        "django",
        ("127.0.0.1:8001", "[::1]:8001"),
        "dev",
        1,
        None,
        9.0,
        None,
        None,
        "django",
    ),
    Candidate(99, "python backup.py --password=***", "3.8", None, (), "root", 0),
)


@pytest.mark.parametrize("size", [(80, 24), (120, 30), (300, 80)], ids=lambda size: "x".join(map(str, size)))
def test_picker(snap_compare, size):
    async def drive(pilot):
        await shows(pilot, "backup.py")
        await until(pilot, lambda: " 0 % " in screen(pilot))
        await settled(pilot)

    app = PerfwatchApp(None, candidates=lambda: PROCESSES)
    assert snap_compare(app, terminal_size=size, run_before=drive)
