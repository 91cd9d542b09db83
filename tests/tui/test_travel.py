"""Time under every screen: windows, bookmarks, saving, steps, over a recording; by keys and by mouse."""

import re

import pytest
from fake_records import SECOND, generate, session_info
from tui_driving import opened, scenario, screen, settled, shows, until

from perfwatch.agent import bookmarks
from perfwatch.agent.bookmarks import Bookmarks
from perfwatch.agent.playing import Window
from perfwatch.agent.replay import Replay
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.probes.records import ServedRequest
from perfwatch.tui.messages import WindowWanted
from perfwatch.tui.screens.host import HostScreen
from perfwatch.tui.screens.overview import OverviewScreen
from perfwatch.tui.screens.request import RequestScreen
from perfwatch.tui.screens.requests import RequestsScreen
from perfwatch.tui.widgets.requests import RequestRows
from perfwatch.tui.widgets.timeline import Timeline

RECORDS = generate(30)
FIRST, LAST = RECORDS[0].at_ns, RECORDS[-1].at_ns


@pytest.fixture
def replay(tmp_path, monkeypatch):
    tmp_path.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    with SessionWriter(tmp_path / "s.perfwatch", session_info()) as writer:
        for number, record in enumerate(RECORDS):
            writer.write(record)
            if number % 25 == 0:
                writer.commit()
    replay = Replay(tmp_path / "s.perfwatch")
    replay.pause(paused=True)
    replay.seek(FIRST + 20 * SECOND)
    return replay


def requests_between(begin_ns, end_ns):
    return sum(isinstance(record, ServedRequest) and begin_ns <= record.at_ns <= end_ns for record in RECORDS)


@scenario
async def test_a_window_is_selected_by_keys_and_holds_on_every_page(replay):
    async with opened(replay) as pilot:
        here = pilot.app.frame.position.now_ns
        await pilot.press("v")
        await shows(pilot, "window from 14:13:40")
        for back in (1, 2, 3):
            await pilot.press("left")
            await until(pilot, lambda: pilot.app.frame.position.now_ns == here - back * SECOND)  # noqa: B023
        selected = [span for span in pilot.app.screen.query_one(Timeline)._shown.spans if "reverse" in str(span.style)]
        assert selected, "there are marks all over it"
        await pilot.press("v")
        await shows(pilot, "▶ window")
        window = Window(here - 3 * SECOND, here)
        assert pilot.app.frame.position.window == window
        assert pilot.app.frame.view.count == requests_between(*window)
        await pilot.press("x")
        await shows(pilot, "all requests")
        await until(pilot, lambda: re.search(r" GET /search +p95 times ", screen(pilot)))
        await until(pilot, lambda: re.search(r" A  14:13:34-14:13:3\d   \d+ requests in ", screen(pilot)))
        assert " B  14:13:37-14:13:40 " in screen(pilot)
        await pilot.press("escape")
        await pilot.press("9")
        await until(pilot, lambda: isinstance(pilot.app.screen, HostScreen))
        assert pilot.app.screen.frame.position.window == window
        await pilot.press("v")
        await until(pilot, lambda: pilot.app.frame.position.window is None)
        await until(pilot, lambda: pilot.app.frame.view.count == requests_between(FIRST, here - 3 * SECOND))


@scenario
async def test_two_windows_are_compared(replay):
    one, other = Window(FIRST, FIRST + 4 * SECOND), Window(FIRST + 10 * SECOND, FIRST + 16 * SECOND)
    async with opened(replay, size=(80, 24)) as pilot:
        for window, key, told in ((one, "X", "kept: select another"), (other, "x", "A  14:13:20-14:13:24")):
            pilot.app._window_wanted(WindowWanted(*window))
            await until(pilot, lambda: pilot.app.frame.position.window == window)  # noqa: B023
            await pilot.press(key)
            await shows(pilot, told)
        assert "B  14:13:30-14:13:36" in screen(pilot)
        await pilot.press("escape", "v")
        await until(pilot, lambda: pilot.app.frame.position.window is None)
        await pilot.press("X")
        await shows(pilot, "no window is kept")


@scenario
async def test_escape_leaves_the_filter_then_the_window_then_the_page(replay):
    async with opened(replay) as pilot:
        stood = pilot.app.frame.position
        window = Window(FIRST + 2 * SECOND, FIRST + 12 * SECOND)
        await pilot.press("v", "escape")
        await until(pilot, lambda: pilot.app._selecting_ns is None)
        pilot.app._window_wanted(WindowWanted(*window))
        await until(pilot, lambda: pilot.app.frame.position.window == window)
        await pilot.press("2", "/", *"cause:lock", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, RequestsScreen) and pilot.app.choices.filter)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, RequestScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, RequestsScreen))
        await pilot.press("escape")
        await until(pilot, lambda: not pilot.app.choices.filter)
        assert pilot.app.frame.position.window == window
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.frame.position.window is None)
        assert isinstance(pilot.app.screen, RequestsScreen)
        assert (pilot.app.frame.position.now_ns, pilot.app.frame.position.paused) == (stood.now_ns, stood.paused)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))


@scenario
async def test_from_a_window_one_comes_back_to_the_end_of_what_is_still_being_recorded(tmp_path):
    tmp_path.chmod(0o700)
    half = len(RECORDS) // 2
    with SessionWriter(tmp_path / "s.perfwatch", session_info()) as writer:
        for record in RECORDS[:half]:
            writer.write(record)
        writer.commit()
        replay = Replay(tmp_path / "s.perfwatch", speed=0.01)
        replay.seek(LAST)
        async with opened(replay) as pilot:
            await shows(pilot, "● following")
            pilot.app._window_wanted(WindowWanted(FIRST + 2 * SECOND, FIRST + 4 * SECOND))
            await shows(pilot, "▶ window")
            for record in RECORDS[half:]:
                writer.write(record)
            writer.commit()
            await until(pilot, lambda: pilot.app.frame.position.last_ns == LAST)
            await pilot.press("escape")
            await shows(pilot, "● following")
            assert pilot.app.frame.position.now_ns == LAST


@scenario
async def test_a_window_is_selected_by_dragging_over_the_timeline(replay):
    async with opened(replay) as pilot:
        timeline = pilot.app.screen.query_one(Timeline)
        axis = timeline._axis
        await pilot.mouse_down(timeline, offset=(axis.width - 20, 0))
        await pilot.hover(timeline, offset=(axis.width - 10, 0))
        await pilot.mouse_up(timeline, offset=(axis.width - 10, 0))
        await shows(pilot, "▶ window")
        window = pilot.app.frame.position.window
        assert window == (axis.edge(axis.width - 21), axis.edge(axis.width - 10))
        await until(pilot, lambda: pilot.app.frame.view.count == requests_between(*window))
        await pilot.click(timeline, offset=(axis.width - 5, 0))
        await until(pilot, lambda: pilot.app.frame.position.window is None)


@scenario
async def test_a_bookmark_is_set_kept_gone_to_and_forgotten(replay):
    async with opened(replay) as pilot:
        here = pilot.app.frame.position.now_ns
        await pilot.press("M")
        await shows(pilot, "none yet; m sets one")
        await pilot.press("escape", "m")
        await shows(pilot, "bookmark at 14:13:40")
        await pilot.press(*"why[/x]", "enter", "right")
        await until(pilot, lambda: pilot.app.frame.position.now_ns == here + SECOND)
        assert "¶" in screen(pilot)
        assert [one.note for one in Bookmarks(replay.path).all] == ["why[/x]"]
        await pilot.press("M")
        await shows(pilot, "14:13:40  why[/x]")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.frame.position.now_ns == here)
        await pilot.press("M", "d")
        await shows(pilot, "none yet; m sets one")
    assert Bookmarks(replay.path).all == ()


@scenario
async def test_where_no_more_bookmarks_are_kept_none_is_drawn(replay, monkeypatch):
    monkeypatch.setattr(bookmarks, "MAX_BOOKMARKS", 1)
    async with opened(replay) as pilot:
        await pilot.press("m")
        await shows(pilot, "bookmark at 14:13:40")
        await pilot.press("enter", "left")
        await until(pilot, lambda: "¶" in screen(pilot))
        await pilot.press("m")
        await shows(pilot, "there are 1 bookmarks already")
        marks = pilot.app.frame.marks
        assert marks.after("bookmark", FIRST) == FIRST + 20 * SECOND
        assert marks.before("bookmark", LAST) == FIRST + 20 * SECOND


@scenario
async def test_what_was_seen_is_saved(replay, tmp_path):
    async with opened(replay) as pilot:
        here = pilot.app.frame.position.now_ns
        await pilot.press("w")
        await shows(pilot, "save what was seen until 14:13:40")
        await pilot.press(*"much", "enter")
        await shows(pilot, "not an amount of time")
        await pilot.press(*["backspace"] * 4, *"5s", "enter")
        await until(pilot, lambda: list(tmp_path.glob("perfwatch-*.perfwatch")))
        await shows(pilot, "saved ")
    (path,) = tmp_path.glob("perfwatch-*.perfwatch")
    with SessionReader(path) as reader:
        assert list(reader.records()) == [one for one in RECORDS if here - 5 * SECOND <= one.at_ns <= here]


@scenario
async def test_steps_go_by_sample_and_by_slow_request(replay):
    async with opened(replay) as pilot:
        readings = [one.at_ns for one in RECORDS if not isinstance(one, ServedRequest)]
        here = pilot.app.frame.position.now_ns
        before = max(at_ns for at_ns in readings if at_ns <= here - 50_000_000)
        await pilot.press("comma")
        await until(pilot, lambda: pilot.app.frame.position.now_ns == before)
        after = min(at_ns for at_ns in readings if at_ns >= before + 50_000_000)
        await pilot.press("full_stop")
        await until(pilot, lambda: pilot.app.frame.position.now_ns == after)
        await pilot.press("L")
        await shows(pilot, "end of the recording")
        await until(pilot, lambda: pilot.app.frame.view.now_ns == LAST)
        rows = pilot.app.screen.query_one(RequestRows)
        newest = rows.item(rows.keys[0]).record
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: pilot.app.frame.position.now_ns == newest.at_ns)
        await settled(pilot)
        assert rows.chosen == str(newest.id)
