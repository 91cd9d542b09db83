"""The overview's lines on queues and resources: what they say, what they leave out, what is alarming."""

import coding as c
import making as m
import msgspec
import pytest
import queued
from fakes import FakeSource, generate, session_info
from rich.text import Text
from tui_driving import opened, scenario, screen

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.model_queues import Interpreter, RunQueue
from perfwatch.agent.source import Position
from perfwatch.probes.records import HostSample
from perfwatch.tui import palette
from perfwatch.tui.messages import Frame
from perfwatch.tui.widgets.inflight import doing
from perfwatch.tui.widgets.used import QueueLine, Used

INFO = session_info()


def frame(records=None, **changes):
    correlator = Correlator(INFO)
    for record in generate(5) if records is None else records:
        correlator.feed(record)
    view = queued.crowded(correlator.view(), **changes)
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
