"""The overview's lines on queues and resources: what they say, what they leave out, what is alarming."""

import coding as c
import looped
import making as m
import msgspec
import pytest
import queued
from fakes import FakeSource, generate, session_info
from judging import view_of
from rich.text import Text
from tui_driving import opened, scenario, screen

from perfwatch.agent.model_queues import Interpreter, RunQueue
from perfwatch.agent.source import Position
from perfwatch.probes.records import HostSample, PeerProcess
from perfwatch.tui import palette
from perfwatch.tui.gauges import queue_gauges
from perfwatch.tui.messages import Frame
from perfwatch.tui.widgets.inflight import doing
from perfwatch.tui.widgets.used import QueueLine, Used

INFO = session_info()


def frame(records=None, **changes):
    view = queued.crowded(view_of(generate(5) if records is None else records, INFO), **changes)
    return Frame(view, Position("live", 0, 0, 0, paused=False, seekable=False), INFO)


def bare(**changes):
    none = {"queues": msgspec.structs.replace(queued.queues(), **EMPTY), "saturation": (), "own_cost": None}
    return frame(**(none | changes))


EMPTY = dict.fromkeys(
    ("disks", "disk_users", "sockets", "threads", "cgroups", "pressure", "connections", "interpreters"), ()
) | {
    "run_queue": None,
    "socket_count": None,
}


def coloured(text, colour):
    return [text.plain[span.start : span.end] for span in text.spans if span.style == colour]


def test_every_queue_is_told_the_most_telling_first():
    line = QueueLine().compose_text(frame(in_flight=frame(generate(12)).view.in_flight), 160).plain
    told = ["run 2.1", "accept 5/2048", "disk 4.2", "throttled 84 %", "▒ lock 1", "recv 64 KiB", "send 1.1 MiB"]
    places = [line.find(part) for part in told]
    assert -1 not in places, line
    assert places == sorted(places)
    assert line.rstrip().endswith("concurrency 1.0")


def test_what_was_not_measured_is_left_out():
    line = QueueLine().compose_text(bare(listeners=()), 100).plain
    assert line.split() == ["queues", "concurrency", "1.0"]
    assert "disk" not in Used().compose_text(bare(), 100).plain


def python(pid, held, collecting):
    return Interpreter(pid, "3.12.1", held, None, (), None, None, collecting, (), (), 0)


def test_the_interpreter_that_is_busiest_is_told():
    several = queued.queues(interpreters=(python(1, 0.4, 0.15), python(2, 0.97, 0.004), python(3, None, None)))
    line = QueueLine().compose_text(frame(queues=several), 160)
    assert "gil held 97 %  gc 15 %" in line.plain
    assert {"97 %", "15 %"} <= set(coloured(line, palette.ALARM))
    quiet = queued.queues(interpreters=(python(1, 0.3, 0.004), python(2, 0.2, 0.02)))
    line = QueueLine().compose_text(frame(queues=quiet), 160)
    assert "gil held 30 %  gc 2 %" in line.plain
    assert not {"30 %", "2 %"} & set(coloured(line, palette.ALARM))
    idle = queued.queues(interpreters=(python(1, None, 0.0),))
    assert not {"gil", "gc"} & set(QueueLine().compose_text(frame(queues=idle), 160).plain.split())


def test_what_hangs_says_where_it_stands():
    stuck = m.opened(1, 3000, 5000, stack=c.RESULT)
    assert doing(stuck, 3 * m.SECOND) == "for 3 s in gather() at jobs.py:9"
    assert doing(msgspec.structs.replace(stuck, peer="10.0.0.5:5432"), 3 * m.SECOND) == (
        "for 3 s in gather() at jobs.py:9, on 10.0.0.5:5432"
    )
    evil = msgspec.structs.replace(stuck, stack=(c.own("\x1b[2J", "\x1b[3m"),))
    assert doing(evil, 1).isprintable()


def test_requests_that_wait_for_a_peer_are_told_by_peer_of_how_many_connections():
    peer = "10.0.0.5:5432"
    waiting = [m.opened(number, 50, 5000, "calls", peer=peer) for number in range(1, 4)]
    other = m.opened(9, 50, 5000, "calls", peer="10.0.0.6:6379")
    connected = [queued.socket(peer=peer) for _ in range(8)]
    view = frame(
        in_flight=(*waiting, other),
        queues=queued.queues(**EMPTY | {"sockets": tuple(connected)}),
        peers=(PeerProcess(m.START, 4313, "10.0.0.6:6379", 77, "redis-server", is_target=False),),
        listeners=(),
    ).view
    told = {one.name: one for one in queue_gauges(view)}
    assert told[peer].figure == "3 of 8"
    assert told[peer].share == pytest.approx(3 / 8)
    assert told["redis-server 10.0.0.6:6379"][:3] == ("redis-server 10.0.0.6:6379", "1", None)
    assert told["░ calls"].figure == "4"


def test_a_request_that_waits_for_a_pool_is_told_by_that_pool():
    pooled = m.opened(1, 50, 5000, "lock", stack=looped.PSYCOPG)
    view = frame(in_flight=(pooled, m.opened(2, 50, 5000, "lock")), queues=queued.queues(**EMPTY)).view
    told = {one.name: one.figure for one in queue_gauges(view)}
    assert told["pool psycopg_pool"] == "1"
    assert told["▒ lock"] == "1"


def test_names_of_peers_and_pools_are_harmless():
    view = frame(
        in_flight=(m.opened(1, 50, 5000, "calls", peer="\x1b[2J"),),
        peers=(PeerProcess(m.START, 4313, "\x1b[2J", 7, "\u202e", is_target=False),),
    ).view
    assert all(one.name.isprintable() for one in queue_gauges(view))


@pytest.mark.parametrize("size", [(160, 45), (220, 50)])
@scenario
async def test_where_there_is_room_queues_are_gauges_in_columns(size):
    async with opened(FakeSource(generate(30)), size=size, judge_factory=queued.judge()) as pilot:
        text = screen(pilot)
    words = " ".join(text.split())
    for told in (
        "run ██████████ 2.1",
        "accept ░░░░░░░░░░ 5/2048",
        "disk █████████░ 4.2",
        "10.0.0.5:5432 ░░░░░░░░░░ 0 of 2",
    ):
        assert told in words


@pytest.mark.parametrize(
    ("waiting", "alarming"), [(2.0, []), (2.1, ["2.1"])], ids=["one for each CPU", "more than there are CPUs"]
)
def test_a_run_queue_longer_than_the_cpus_is_alarming(waiting, alarming):
    queues = queued.queues(**EMPTY | {"run_queue": RunQueue(2, waiting, 2.0, 9, ())})
    assert coloured(QueueLine().compose_text(frame(queues=queues), 100), palette.ALARM) == alarming


def test_a_full_accept_queue_is_alarming_and_of_several_the_port_is_told():
    listeners = (("0.0.0.0:8000", 128, 128), ("[::]:8443", 3, 128))
    text = QueueLine().compose_text(bare(listeners=listeners), 100)
    assert "accept :8000 128/128  accept :8443 3/128" in text.plain
    assert coloured(text, palette.ALARM) == ["128/128"]


def test_an_accept_queue_that_was_full_and_is_not_any_more_is_no_alarm():
    listening = queued.socket("listening", local="0.0.0.0:8000", recv_q=2, send_q=7)
    queues = queued.queues(**EMPTY | {"sockets": (listening,)})
    text = QueueLine().compose_text(frame(queues=queues, listeners=(("0.0.0.0:8000", 8, 7),)), 100)
    assert "accept 2/7 max 8" in text.plain
    assert coloured(text, palette.ALARM) == []


def test_all_resources_that_say_how_used_they_are_have_a_bar():
    line = Used().compose_text(frame(), 120)
    assert " cpu ███████░░░ 71 %" in line.plain
    assert "disk █████████░ 93 %" in line.plain
    assert "psi cpu 12 %" in line.plain
    assert "net " not in line.plain
    assert coloured(line, palette.ALARM) == ["█████████"]


def test_use_of_cpu_and_memory_is_that_of_the_resources_also_where_no_host_sample_tells_it():
    blind = [record for record in generate(5) if not isinstance(record, HostSample)]
    line = Used().compose_text(frame(blind), 120).plain
    assert "cpu ███████░░░ 71 %" in line
    assert "mem ████░░░░░░ 41 %" in line


@pytest.mark.parametrize("width", range(20, 200, 7))
def test_no_piece_is_cut_at_the_edge(width):
    for line in (QueueLine().compose_text(frame(), width), Used().compose_text(frame(), width)):
        assert isinstance(line, Text)
        assert line.cell_len <= width


@pytest.mark.parametrize("size", [(80, 24), (100, 30)])
@scenario
async def test_both_lines_are_on_the_overview(size):
    async with opened(FakeSource(generate(30)), size=size, judge_factory=queued.judge()) as pilot:
        lines = screen(pilot).splitlines()
    assert any(line.startswith(" queues ") and "run 2.1  accept 5/2048  disk 4.2" in line for line in lines)
    assert any(line.startswith(" used ") and "93 %" in line and "psi cpu 12 %" in line for line in lines)
