"""Page 8, the flame graph: by keys and mouse from the whole to a function, to one reason, to one endpoint and back."""

import msgspec
import stacked
from fakes import FakeSource, generate, session_info
from judging import judge_that_shows
from tui_driving import opened, scenario, screen, settled, shows, type_ahead, until

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.model import StackTime
from perfwatch.probes.frames import Frame
from perfwatch.tui.screens.endpoint import EndpointScreen
from perfwatch.tui.screens.flame import FlameScreen
from perfwatch.tui.screens.overview import OverviewScreen
from perfwatch.tui.screens.request import RequestScreen
from perfwatch.tui.widgets.flame import FlameGraph
from perfwatch.tui.widgets.flame_choices import FlameChoices
from perfwatch.tui.widgets.line import Line

Judge = judge_that_shows(stacked.with_endpoint_stacks)


def with_code(size=(100, 30), judge_factory=Judge):
    return opened(FakeSource(generate(30), info=session_info()), size=size, judge_factory=judge_factory)


def total_ms(pilot, *routes):
    ends = [end for end in pilot.app.frame.view.endpoints if not routes or end.route in routes]
    return sum(stack.spent_ns for end in ends for stack in end.stacks) / 1e6


@scenario
async def test_the_graph_leads_from_the_whole_to_a_function_and_zooms_in_and_out():
    async with with_code() as pilot:
        await pilot.press("8")
        await shows(pilot, "flame graph  all of ")
        await shows(pilot, "all   total")
        await pilot.press("down", "down", "down")
        await shows(pilot, "total ")
        await until(pilot, lambda: "▶ Cache.get" in screen(pilot) or "▶ rank" in screen(pilot))
        graph = pilot.app.screen.query_one(FlameGraph)
        before = next(box for box in graph._rows[len(graph._here)] if box.path == graph._here).width
        await pilot.press("enter")
        await settled(pilot)
        after = next(box for box in graph._rows[len(graph._here)] if box.path == graph._here).width
        assert before < after == graph.size.width - 2
        await pilot.press("down", "enter", "backspace")
        assert graph.is_zoomed
        await pilot.press("escape")
        assert not graph.is_zoomed
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))


@scenario
async def test_the_selected_functions_time_is_the_sum_of_its_stacks():
    async with with_code() as pilot:
        await pilot.press("8")
        await shows(pilot, "all   total")
        type_ahead(pilot, "/Cache.get\n")
        await shows(pilot, "Cache.get  cache.py:61")
        spent_ns = sum(
            stack.spent_ns
            for end in pilot.app.frame.view.endpoints
            for stack in end.stacks
            if any(frame.function == "Cache.get" for frame in stack.frames)
        )
        whole_ns = total_ms(pilot) * 1e6
        assert f"total {spent_ns / 1e9:.1f} s ({spent_ns / whole_ns:.0%}".replace("%", " %") in screen(pilot)
        assert "1 found" in screen(pilot)
        assert "self 0.0 ms" in screen(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: "1 found" not in screen(pilot))
        type_ahead(pilot, "/Cache.get\x1bf")
        await shows(pilot, "[on-CPU ")
        assert not pilot.app.screen.query_one(Line).display
        assert isinstance(pilot.app.screen, FlameScreen)


@scenario
async def test_time_on_the_cpu_and_off_it_can_be_looked_at_alone():
    async with with_code() as pilot:
        await pilot.press("8")
        await shows(pilot, "[all]")
        assert "Cache.get" in screen(pilot)
        await pilot.press("f")
        await shows(pilot, "[on-CPU ")
        await until(pilot, lambda: "Cache.get" not in screen(pilot) and "rank" in screen(pilot))
        await pilot.press("f")
        await shows(pilot, "[off-CPU ")
        await until(pilot, lambda: "Cache.get" in screen(pilot) and "rank" not in screen(pilot))
        choices = pilot.app.screen.query_one(FlameChoices)
        at = screen(pilot).splitlines()[choices.region.y].index("lock ")
        await pilot.click(choices, offset=(at - choices.region.x, 0))
        await shows(pilot, "[lock ")


@scenario
async def test_e_goes_through_the_endpoints_and_8_on_one_opens_its_own():
    async with with_code() as pilot:
        await pilot.press("8", "e")
        await shows(pilot, "flame graph  POST /order/{}")
        assert "rank" not in screen(pilot)
        await pilot.press("E")
        await shows(pilot, "flame graph  all of")
        await pilot.press("8")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))
        await pilot.press("down", "enter", "8")
        await shows(pilot, "flame graph  GET /search")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, EndpointScreen))
        await pilot.press("enter", "8")
        await shows(pilot, "flame graph  GET /search   ")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, RequestScreen))


@scenario
async def test_a_click_selects_a_second_one_zooms_and_tab_goes_along_a_row():
    async with with_code() as pilot:
        await pilot.press("8")
        graph = pilot.app.screen.query_one(FlameGraph)
        await until(pilot, lambda: len(graph._rows) > 3)
        row = next(row for row in graph._rows if len(row) > 1)
        depth, box = graph._rows.index(row), row[-1]
        await pilot.click(graph, offset=(box.begin + 1, depth))
        await until(pilot, lambda: graph._here == box.path)
        await pilot.press("tab")
        await until(pilot, lambda: graph._here == row[0].path)
        await pilot.press("shift+tab")
        await until(pilot, lambda: graph._here == box.path)
        await pilot.click(graph, offset=(box.begin + 1, depth))
        await until(pilot, lambda: graph.is_zoomed)
        await pilot.press("home")
        await until(pilot, lambda: not graph.is_zoomed and graph._here == ())


@scenario
async def test_folded_library_functions_stand_one_by_one_where_wanted():
    async with with_code() as pilot:
        await pilot.press("8")
        await shows(pilot, "7 of threading, gunicorn, flask")
        await pilot.press("x")
        await shows(pilot, "Flask.dispatch_request")


@scenario
async def test_without_stacks_it_says_why():
    async with with_code(judge_factory=Correlator) as pilot:
        await pilot.press("8")
        await shows(pilot, "no stacks were recorded")


def hostile(view):
    """A view whose functions have names that a terminal would obey."""
    stack = StackTime((Frame("\x1b[2J[bold]evil", "/\x1b]0;x\x07.py", 1),), "lock", is_gc=False, spent_ns=10**9)
    ends = tuple(msgspec.structs.replace(end, stacks=(stack,), judged_count=1) for end in view.endpoints)
    return msgspec.structs.replace(view, endpoints=ends)


@scenario
async def test_names_reach_the_terminal_escaped():
    async with with_code(judge_factory=judge_that_shows(hostile)) as pilot:
        await pilot.press("8", "down")
        await shows(pilot, "\\x1b[2J[bold]evil  \\x1b]0;x\\x07.py:1")
        assert screen(pilot).replace("\n", "").isprintable()
