"""The page of sockets: who waits to be accepted, the connections with what stands in them, and what they wait for."""

import queued
from fakes import FakeSource, generate, session_info
from judging import view_of
from tui_driving import open_page, opened, scenario, screen, settled, shows, until

from perfwatch.agent.model_lately import Lately
from perfwatch.agent.model_queues import Queues
from perfwatch.tui.screens.request import RequestScreen
from perfwatch.tui.screens.sockets import SocketsScreen
from perfwatch.tui.screens.users import UsersScreen
from perfwatch.tui.widgets.socket_rows import SocketRows


def page(*, size=(120, 44), **changes):
    return opened(FakeSource(generate(30), info=session_info()), size=size, judge_factory=queued.judge(**changes))


def line(pilot, part):
    return next(line for line in screen(pilot).splitlines() if part in line)


@scenario
async def test_doors_sums_and_connections_are_told():
    async with page(size=(150, 50)) as pilot:
        await open_page(pilot, "4", SocketsScreen)
        text, unwrapped = screen(pilot), " ".join(screen(pilot).split())
        assert line(pilot, "0.0.0.0:8000").split() == ["0.0.0.0:8000", "5", "░░░░░░", "9", "2048", "2048", "3", "full"]
        assert line(pilot, "unix:/run/shop").split()[1:] == ["-", "░░░░░░", "-", "0", "128", "0"]
        for part in ("42 sockets", "39 ESTABLISHED", "2 CLOSE_WAIT", "64 KiB not read", "1.1 MiB unacknowledged"):
            assert part in text
        for part in ("0.2 % of segments sent again", "2 met a full accept queue", "3 dropped at listening sockets"):
            assert part in unwrapped
        slow = line(pilot, "← 10.0.3.7:40001 ").partition("← ")[2].split()
        told = "10.0.3.7:40001 ESTAB 0 B 1.1 MiB 84 ms 3 800 kB/s the peer reads slowly, segments sent again"
        assert slow == told.split()
        assert "answer not read yet" in text
        assert "closed by the peer, and not by the process" in text
        for chart in ("waiting to be accepted", "not read or not acknowledged"):
            assert chart in text


@scenario
async def test_o_sorts_by_the_next_figure_and_capital_o_the_other_way_around():
    async with page() as pilot:
        await open_page(pilot, "4", SocketsScreen)
        rows = pilot.app.screen.query_one(SocketRows)
        assert rows.keys[:2] == ("8", "9")
        await pilot.press("o")
        await shows(pilot, "▼not read")
        assert rows.keys[0] == "9"
        await pilot.press("O")
        await shows(pilot, "▲not read")
        assert rows.keys[-1] == "9"
        heading = line(pilot, "connections 4")
        await pilot.click(SocketRows, offset=(heading.index("unacked"), 0))
        await shows(pilot, "▼unacked")
        assert rows.keys[0] == "8"
        await pilot.click(SocketRows, offset=(heading.index("connections"), 0))
        await shows(pilot, "by ▲peer")
        peers = [rows.item(key).state.peer for key in rows.keys]
        assert peers == sorted(peers)
        await pilot.click(SocketRows, offset=(heading.index("connections"), 0))
        await shows(pilot, "by ▼peer")
        assert [rows.item(key).state.peer for key in rows.keys] == peers[::-1]
        await pilot.click(SocketRows, offset=(heading.index("waits for"), 0))
        await settled(pilot)
        assert "by ▼peer" in screen(pilot)


@scenario
async def test_the_connection_under_the_cursor_is_told_in_full():
    async with page() as pilot:
        await open_page(pilot, "4", SocketsScreen)
        await shows(pilot, "← 10.0.3.7:40001  accepted by process 4313; 9.0 MB sent and 400 B received")
        told = " ".join(screen(pilot).split())
        assert "3 segments sent again; the peer's window was full for 7.40 s" in told
        assert "unacknowledged bytes for 7 s at least; the peer's window was full for 82 % of the last 9 s" in told
        await pilot.press("down")
        await shows(pilot, "→ 10.0.0.5:5432  postgresql  connected by process 4313")
        assert "not read for 4 s at least" in " ".join(screen(pilot).split())


@scenario
async def test_enter_shows_the_slow_requests_of_a_connection():
    number = view_of(generate(30), session_info()).requests[-1].record.connection
    mine = queued.socket("accepted", cookie=number)
    async with page(queues=queued.queues(sockets=(mine,))) as pilot:
        await open_page(pilot, "4", SocketsScreen)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, UsersScreen))
        await shows(pilot, "slow requests")
        wanted = [one for one in pilot.app.frame.view.requests if one.record.connection == number]
        assert pilot.app.screen.query_one("RequestRows").keys == tuple(str(one.record.id) for one in wanted[::-1])
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, RequestScreen))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, SocketsScreen))


@scenario
async def test_where_no_socket_is_known_that_is_said():
    async with page(size=(80, 24), queues=Queues(), lately=Lately()) as pilot:
        await open_page(pilot, "4", SocketsScreen)
        await shows(pilot, "none is open, or they cannot be read: see the probes, key 0")


@scenario
async def test_as_many_connections_as_a_view_holds_are_scrolled_in_a_small_terminal():
    many = tuple(queued.socket(cookie=number, recv_q=number, peer="unix:/" + "x" * 300) for number in range(100, 164))
    async with page(size=(60, 16), queues=queued.queues(sockets=many)) as pilot:
        await open_page(pilot, "4", SocketsScreen)
        await pilot.press("end")
        await until(pilot, lambda: pilot.app.screen.query_one(SocketRows).chosen == "100")
        assert all(len(row) <= 60 for row in screen(pilot).splitlines())
