"""From symptom to cause and back: keys and mouse on the fake source."""

import making as m
import msgspec
import pytest
from fake_records import session_info
from fakes import SECOND, START_NS, FakeSource, generate
from tui_driving import opened, scenario, screen, settled, shows, until
from two_ends import BACK, FRONT, INFO, MEMBERS, call, callee, caller_of

from perfwatch.agent.model import Container, ServedRequest
from perfwatch.tui.screens.help import Sheet
from perfwatch.tui.screens.overview import OverviewScreen
from perfwatch.tui.screens.request import RequestScreen
from perfwatch.tui.widgets.endpoints import EndpointRows
from perfwatch.tui.widgets.requests import RequestRows
from perfwatch.tui.widgets.timeline import Timeline


def source(**options):
    return FakeSource(generate(30), **options)


@scenario
async def test_the_overview_tells_target_verdict_and_endpoints():
    async with opened(source()) as pilot:
        text = screen(pilot)
    header = text.splitlines()[0]
    for part in ("gunicorn", "pid 4312", ":8000", "py3.12", "● live", "exact", "collector 0.9 %"):
        assert part in header
    for part in ("waits for a lock", "POST /order/{}", "GET  /search", "cpu 96 %", "lock 78 %", "healthy"):
        assert part in text
    assert "accept 4/2048" in text


@scenario
async def test_the_container_stands_in_the_first_line():
    container = Container("ab" * 32, "docker", "shop\x1b[2J", "shop:1.2")
    async with opened(source(info=session_info(container=container)), size=(140, 30)) as pilot:
        assert r"pid 4312 +4 workers  :8000  in shop\x1b[2J  py3.12" in screen(pilot).splitlines()[0]


@scenario
async def test_from_a_slow_request_to_its_ledger_and_back():
    async with opened(source()) as pilot:
        await pilot.press("tab", "enter")
        await shows(pilot, "where the time went")
        text = screen(pilot)
        for part in ("POST /order/", "released by refresh-cache", "unaccounted", "10.0.0.5:5432", "▒ lock", "do Hold"):
            assert part in text
        assert "if of its endpoint, without it: p95 " in text
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))
        assert isinstance(pilot.app.focused, RequestRows)


@scenario
async def test_an_estimated_ledger_is_called_one():
    sampled = [
        msgspec.structs.replace(record, fidelity="sampled") if isinstance(record, ServedRequest) else record
        for record in generate(30)
    ]
    async with opened(FakeSource(sampled)) as pilot:
        await pilot.press("tab", "enter")
        await shows(pilot, "ms   sampled   200")


@scenario
async def test_from_an_endpoint_to_one_of_its_requests_and_back():
    async with opened(source()) as pilot:
        await pilot.press("down", "enter")
        await shows(pilot, "mean ledger of the")
        assert "GET /search   94 requests" in screen(pilot)
        assert "POST" not in screen(pilot)
        assert "if without it: p95 " in screen(pilot)
        await pilot.press("enter")
        await shows(pilot, "until a thread read it")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))


@scenario
async def test_a_hung_request_shows_its_age_and_what_it_waits_in():
    async with opened(source()) as pilot:
        assert "/report/7" in screen(pilot)
        await pilot.press("tab", "tab", "enter")
        await shows(pilot, "in flight")
        text = screen(pilot)
        assert "GET /report/7   21." in text or "GET /report/7   22." in text
        assert "it has not ended; its state: lock for 2" in text
        assert "futex 0x7f3a10 still" in text


@scenario
async def test_brackets_go_from_one_slow_request_to_the_next():
    async with opened(source()) as pilot:
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, RequestScreen))
        newest = screen(pilot).splitlines()[1]
        await pilot.press("]")
        await shows(pilot, "no slow request there yet")
        await pilot.press("[")
        await until(pilot, lambda: screen(pilot).splitlines()[1] != newest)
        await pilot.press("]")
        await until(pilot, lambda: screen(pilot).splitlines()[1] == newest)


@scenario
async def test_the_filter_narrows_all_lists_and_escape_lifts_it():
    async with opened(source()) as pilot:
        await pilot.press("/", *"SEARCH", "enter")
        await until(pilot, lambda: "/order" not in "".join(screen(pilot).splitlines()[8:]))
        assert "GET  /search" in screen(pilot)
        assert isinstance(pilot.app.focused, EndpointRows)
        await pilot.press("escape")
        await until(pilot, lambda: "POST /order/8" in screen(pilot))


@scenario
async def test_space_pauses_and_plays_on():
    stream = source()
    async with opened(stream) as pilot:
        await pilot.press("space")
        await shows(pilot, "‖ paused")
        await pilot.press("space")
        await shows(pilot, "● live")
    assert stream.calls == [("pause", True), ("pause", False)]


@scenario
async def test_arrows_and_clicks_on_the_timeline_seek():
    stream = source()
    async with opened(stream) as pilot:
        now = pilot.app.frame.position.now_ns
        await pilot.press("left")
        await until(pilot, lambda: pilot.app.frame.position.now_ns < now)
        await pilot.press("right")
        timeline = pilot.app.screen.query_one(Timeline)
        await pilot.click(timeline, offset=(timeline.size.width - 22, 0))
        await until(pilot, lambda: pilot.app.frame.position.now_ns < START_NS + 21 * SECOND)
        await shows(pilot, "┃")
    assert [call for call, _ in stream.calls] == ["seek"] * 3
    assert stream.calls[0] == ("seek", now - SECOND)


@scenario
async def test_a_stream_that_cannot_be_moved_in_says_so():
    stream = source(seekable=False)
    async with opened(stream) as pilot:
        await pilot.press("left")
        await shows(pilot, "this stream cannot be moved in")
    assert stream.calls == []


@scenario
async def test_jump_takes_a_time_and_explains_what_it_does_not_understand():
    stream = source()
    async with opened(stream) as pilot:
        await pilot.press("j", *"soon", "enter")
        await shows(pilot, "not a time")
        await pilot.press(*["backspace"] * 4, *"10s ago", "enter")
        await until(pilot, lambda: bool(stream.calls))
        last = pilot.app.frame.position.last_ns
    assert stream.calls == [("seek", last - 10 * SECOND)]


@scenario
async def test_speed_goes_in_steps_and_shows():
    stream = source(label="replay 1x")
    async with opened(stream) as pilot:
        await pilot.press("+", "+", "-")
        await shows(pilot, "▶ replay 2x")
    assert stream.calls == [("speed", 2.0), ("speed", 5.0), ("speed", 2.0)]


@pytest.mark.parametrize("steps", [3, 40])
@scenario
async def test_the_chosen_row_stays_on_its_line_while_newer_ones_come_in_above(steps):
    async with opened(source()) as pilot:
        rows = pilot.app.screen.query_one(RequestRows)
        everything = rows._rows
        rows.show(everything[20:])
        await pilot.press("tab", *["down"] * steps)
        chosen = rows.chosen
        line = cursor_line(pilot)
        rows.show(everything)
        await settled(pilot)
        assert rows.chosen == chosen == everything[20 + steps][0]
        assert cursor_line(pilot) == line
        await pilot.press("home")
        assert rows.scroll_offset.y == 0


def cursor_line(pilot):
    """Return the number of the line that the cursor stands on."""
    return next(number for number, text in enumerate(screen(pilot).splitlines()) if text.startswith(" ▶ "))


@pytest.mark.parametrize(("key", "part"), [("?", "slow request before"), ("l", "blocked on the interpreter lock")])
@scenario
async def test_pages_open_and_close(key, part):
    async with opened(source(), size=(100, 46)) as pilot:
        await pilot.press(key)
        await shows(pilot, part)
        assert isinstance(pilot.app.screen, Sheet)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))


@scenario
async def test_a_click_selects_a_row_and_a_second_one_opens_it():
    async with opened(source()) as pilot:
        rows = pilot.app.screen.query_one(RequestRows)
        await pilot.click(rows, offset=(20, 3))
        await settled(pilot)
        assert rows.cursor == 2
        assert isinstance(pilot.app.screen, OverviewScreen)
        await pilot.click(rows, offset=(20, 3))
        await until(pilot, lambda: isinstance(pilot.app.screen, RequestScreen))


@scenario
async def test_the_cursor_stays_on_its_request_while_newer_ones_come():
    stream = source(step_s=3.0)
    stream.pause(paused=True)
    async with opened(stream) as pilot:
        rows = pilot.app.screen.query_one(RequestRows)
        stream.seek(START_NS + 10 * SECOND)
        await until(pilot, lambda: len(rows.keys) > 5)
        await pilot.press("tab", "down", "down")
        chosen, before = rows.chosen, len(rows.keys)
        stream.seek(START_NS + 12 * SECOND)
        await until(pilot, lambda: len(rows.keys) > before)
        assert rows.chosen == chosen
        assert rows.cursor > 2


@scenario
async def test_quit_closes_the_source():
    stream = source()
    async with opened(stream) as pilot:
        await pilot.press("q")
    assert stream.closed


def blaming(culprit_id):
    """Records in which every order's lock was released by a thread that was serving another request."""
    for record in generate(30):
        if isinstance(record, ServedRequest) and record.method == "POST" and record.id != culprit_id:
            waits = [
                msgspec.structs.replace(wait, waker=msgspec.structs.replace(wait.waker, request=culprit_id))
                if wait.waker
                else wait
                for wait in record.waits
            ]
            record = msgspec.structs.replace(record, waits=tuple(waits))  # noqa: PLW2901
        yield record


@scenario
async def test_c_goes_to_the_request_that_held_the_lock():
    search = next(r for r in generate(30)[-100:] if isinstance(r, ServedRequest) and r.target == "/search")
    async with opened(FakeSource(list(blaming(search.id)))) as pilot:
        await pilot.press("tab", "enter")
        await shows(pilot, "POST /order/")
        await pilot.press("c")
        await shows(pilot, "GET /search  ")
        await pilot.press("c")
        await shows(pilot, "nobody else is to blame for it")
        await pilot.press("escape")
        await shows(pilot, "POST /order/")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))


@scenario
async def test_c_says_what_is_known_of_a_culprit_that_is_no_request_that_is_kept():
    async with opened(source()) as pilot:
        await pilot.press("tab", "enter", "c")
        await shows(pilot, "culprit: refresh-cache (tid 4321)")
        assert isinstance(pilot.app.screen, Sheet)
        for part in (
            "chain of blame  thread refresh-cache (tid 4321) (76 %)",
            "which served no",
            "lock 321 ms  at +17 ms",
        ):
            assert part in screen(pilot)
        await pilot.press("escape")
        await shows(pilot, "where the time went")


@scenario
async def test_enter_on_a_step_goes_to_who_is_to_blame_for_that_one():
    search = next(r for r in generate(30)[-100:] if isinstance(r, ServedRequest) and r.target == "/search")
    async with opened(FakeSource(list(blaming(search.id)))) as pilot:
        await pilot.press("tab", "enter")
        await shows(pilot, "▶ ▒ lock")
        await pilot.press("enter")
        await shows(pilot, "GET /search  ")
        await pilot.press("escape", "home", "enter")
        await shows(pilot, "nobody else is to blame for it")


@scenario
async def test_steps_that_do_not_fit_are_put_together_and_e_shows_each():
    waits = [m.wait("lock" if n % 2 else "disk", 3, waker=m.waker(tid=4000 + n)) for n in range(40)]
    record = m.served(1, 1000, lock=60, disk=60, on_cpu=280)
    waits = [
        msgspec.structs.replace(wait, started_ns=record.started_ns + n * 10 * m.MS) for n, wait in enumerate(waits)
    ]
    record = msgspec.structs.replace(record, waits=tuple(waits))
    async with opened(FakeSource([record]), size=(80, 24)) as pilot:
        await pilot.press("tab", "enter")
        await shows(pilot, "shorter ones")
        assert "40 x" in screen(pilot)
        await pilot.press("e", "end", "up")
        await shows(pilot, "released by worker-3 4039")
        await pilot.press("e")
        await shows(pilot, "shorter ones")


@scenario
async def test_f_goes_into_the_service_that_was_called_and_u_back():
    records = [*MEMBERS, caller_of(1, 102, call(9, 101)), callee(2, 10, 100), callee(3, 300, 400, "127.0.0.1:9")]
    async with opened(FakeSource(records, info=INFO)) as pilot:
        assert f"pid {FRONT}+{BACK}" in screen(pilot)
        assert f"/price/{{}} @{BACK}" in screen(pilot)
        pilot.app.push_screen(RequestScreen(1, pilot.app.frame))
        await shows(pilot, "GET /buy/7")
        await shows(pilot, "GET /price/{} in gunicorn (pid 4401)")
        await pilot.press("f")
        await shows(pilot, "GET /price/7")
        await pilot.press("f")
        await shows(pilot, "no call of it was followed")
        await pilot.press("u")
        await shows(pilot, "GET /buy/7")
        await pilot.press("u")
        await shows(pilot, "no slow request of another service")


@scenario
async def test_brackets_on_the_overview_walk_the_slow_requests():
    async with opened(source()) as pilot:
        rows = pilot.app.screen.query_one(RequestRows)
        newest = rows.keys[:3]
        await pilot.press("[", "[")
        await until(pilot, lambda: rows.keys[0] == newest[1])
        assert "‖ paused" in screen(pilot)
        await until(pilot, lambda: rows.has_focus)
        await pilot.press("]")
        await until(pilot, lambda: rows.keys[0] == newest[0])
        assert rows.chosen == newest[0]


@scenario
async def test_pages_and_ends_of_a_list():
    async with opened(source()) as pilot:
        rows = pilot.app.screen.query_one(RequestRows)
        await pilot.press("tab", "pagedown")
        await until(pilot, lambda: rows.cursor == rows.size.height - 2)
        await pilot.press("end")
        await until(pilot, lambda: rows.cursor == len(rows.keys) - 1)
        assert "14:13:2" in screen(pilot)
        await pilot.press("home", "up")
        await until(pilot, lambda: rows.cursor == 0)
