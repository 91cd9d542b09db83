"""The page of calls: what was asked of whom, sorted; who asked for it; and the waits for pools."""

import making as m
import msgspec
import queued
from fakes import FakeSource, generate, session_info
from judging import view_of
from tui_driving import open_page, opened, scenario, screen, shows, until

from perfwatch.agent.model import PeerProcess
from perfwatch.tui.format import duration
from perfwatch.tui.screens.calls import CallsScreen
from perfwatch.tui.screens.request import RequestScreen
from perfwatch.tui.screens.users import UsersScreen
from perfwatch.tui.widgets.called_rows import CalledRows


def page(*, size=(140, 36), **changes):
    return opened(FakeSource(generate(30), info=session_info()), size=size, judge_factory=queued.judge(**changes))


@scenario
async def test_each_operation_of_each_peer_has_a_row_and_pools_are_told():
    async with page() as pilot:
        await open_page(pilot, "7", CallsScreen)
        view, text = pilot.app.frame.view, screen(pilot)
        assert len(view.downstream) > 1
        rows = pilot.app.screen.query_one(CalledRows)
        assert [rows.item(key).calls for key in rows.keys] == list(view.downstream)
        for one in view.downstream:
            row = next(line for line in text.splitlines() if f" {one.operation} " in line and f" {one.count} " in line)
            assert f" {one.per_request:.3g} " in row
        assert (
            "2.40 s  for a connection of psycopg_pool: 40 waits, at most 180 ms; POST /order (29), GET /me (2)" in text
        )
        assert "9 connected; 0 segments sent again, 1 reset" in text


@scenario
async def test_a_peer_of_this_host_is_named():
    address = view_of(generate(30), session_info()).downstream[0].peer
    peers = (PeerProcess(0, 4313, address, 812, "postgres", is_target=False),)
    mine = [queued.socket(cookie=number, peer=address, rtt_ns=number * 10**6) for number in (2, 7)]
    asking = m.opened(9, 500, 2000, state="calls", peer=address)
    changes = {"peers": peers, "in_flight": (asking,), "queues": queued.queues(sockets=tuple(mine))}
    async with page(**changes) as pilot:
        await open_page(pilot, "7", CallsScreen)
        await shows(pilot, f"postgres {address}")
        row = next(line for line in screen(pilot).splitlines() if "postgres, pid 812" in line)
        calls = [one for one in pilot.app.frame.view.downstream if one.peer == address]
        total = duration(sum(one.total_ms for one in calls))
        told = f"{address} {calls[0].protocol} 2 7.0 ms 1 {total} {sum(one.failed for one in calls)} postgres, pid 812"
        assert row.split() == told.split()


@scenario
async def test_the_rows_are_sorted_by_every_column():
    async with page() as pilot:
        await open_page(pilot, "7", CallsScreen)
        rows = pilot.app.screen.query_one(CalledRows)
        for order in rows.ORDERS:
            await shows(pilot, f"{'▲' if order.is_text else '▼'}{order.name}")
            figures = [order.of(rows.item(key)) for key in rows.keys]
            assert figures == sorted(figures, reverse=not order.is_text), order.name
            await pilot.press("o")
        await shows(pilot, f"▼{rows.ORDERS[0].name}")


@scenario
async def test_enter_shows_the_slow_requests_that_made_the_call():
    async with page(size=(80, 24)) as pilot:
        await open_page(pilot, "7", CallsScreen)
        rows = pilot.app.screen.query_one(CalledRows)
        calls = rows.item(rows.chosen).calls
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, UsersScreen))
        await shows(pilot, "slow requests")
        wanted = [
            str(request.record.id)
            for request in pilot.app.frame.view.requests
            if any((one.peer, one.operation) == (calls.peer, calls.operation) for one in request.record.calls)
        ]
        assert 0 < len(wanted) < len(pilot.app.frame.view.requests)
        assert list(pilot.app.screen.query_one("RequestRows").keys) == wanted[::-1]
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, RequestScreen))
        await pilot.press("escape", "escape", "escape")
        await shows(pilot, "queues ")


@scenario
async def test_what_failed_and_set_connections_up_is_told_of_the_row():
    one = view_of(generate(30), session_info()).downstream[0]
    bad = msgspec.structs.replace(one, failed=3, connect_share=0.4, tls_share=0.2, transfer_share=0.1, connections=40)
    async with page(downstream=(bad,)) as pilot:
        await open_page(pilot, "7", CallsScreen)
        told = " ".join(screen(pilot).split())
        assert (
            "of their time 40 % connect, 20 % tls, 30 % send and wait, 10 % transfer; 40 new connections; 3 failed"
            in told
        )
        assert " 60 % 3 " in told


@scenario
async def test_without_a_call_the_page_says_so():
    async with page(size=(60, 16), downstream=(), permits=(), queues=queued.queues(connections=())) as pilot:
        await open_page(pilot, "7", CallsScreen)
        await shows(pilot, "no call to another process was seen so far")
        await shows(pilot, "no judged request waited for a pooled connection")
        await pilot.press("enter", "o", "O")
        assert isinstance(pilot.app.screen, CallsScreen)
