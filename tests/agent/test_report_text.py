"""The text report: golden texts, and that no untrusted string gets through as it is."""

from pathlib import Path

import making as m
import msgspec
import pytest
import queued
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.agent import report_sentences as said
from perfwatch.agent.model import Container, ProbeStatus
from perfwatch.agent.model_queues import CgroupLimit, CpuShare, DiskShare
from perfwatch.agent.report import build, correlate, to_text
from perfwatch.agent.report_cells import bar, cells, clean, fit, wrap
from perfwatch.agent.report_contract_queues import Socket
from perfwatch.probes.records import ListenerSample, Loss, TargetChange

GOLDEN = Path(__file__).parents[1] / "fixtures" / "reports"


def text_of(stream, width=100, info=None, parts=None, **options):
    """The text of a report; `parts` of the view are put in place of the correlator's."""
    info = info or m.info()
    view, judged = correlate(info, stream)
    return to_text(build(info, msgspec.structs.replace(view, **(parts or {})), judged, **options), width)


def shop():
    """A shop with a lock, a slow search, a hung report, a loss, a worker that was killed."""
    records = [TargetChange(m.START, 4312, "attached", "4 workers"), *m.full_host(1000)]
    records += [ListenerSample(m.START, "127.0.0.1:8000", 3, 2048)]
    for n in range(1, 41):
        at_ms = 1000 + n * 200
        holder = m.served(
            1000 + n, at_ms, calls=398, on_cpu=4, target="/refresh", tid=4321, peers=(m.peer("10.0.0.5:5432", 398),)
        )
        waits = (m.wait("lock", 391, detail="0x7f3a10", waker=m.waker(1000 + n, name="refresh")),)
        order = {"method": "POST", "target": f"/order/{8800 + n}", "tid": 4319}
        records.append(holder)
        records.append(
            m.served(n, at_ms + 5, queue=9, on_cpu=20, lock=391, calls=71, send=1, waits=waits, **order)
            if n % 4 == 0
            else m.served(n, at_ms + 5, on_cpu=38, **order)
        )
        records.append(m.served(2000 + n, at_ms + 6, on_cpu=4, calls=5, target=f"/item/{n}", status=200))
    records.append(m.served(3000, 9500, gil=700, on_cpu=100, target="/search", status=None, outcome="died"))
    records.append(Loss(m.START + 9600 * m.MS, "ledger", 12, "the ring was full"))
    records.append(TargetChange(m.START + 9700 * m.MS, 4316, "exited", "killed by SIGKILL"))
    stuck = m.opened(4000, 6000, 10_000, target="/report/7", detail="0x7f3a11")
    records.append(m.in_flight(10_000, stuck, count=3))
    probes = (ProbeStatus("ledger", "running"), ProbeStatus("stacks", "unavailable", "needs root"))
    return text_of(records, info=m.info(probes=probes), notes=["1 of 11 seconds is damaged and left out"])


def crowded(width, **changes):
    """A busy host, every probe at work."""
    stream = (m.served(n, n * 100, run_queue=300, on_cpu=30) for n in range(1, 10))
    return text_of(stream, width, m.info(**({"probes": queued.PROBES} | changes)), queued.PARTS)


def sampled(width):
    """The same without the ledger."""
    return crowded(width, fidelity="sampled", probes=(queued.LEDGER_LOST, *queued.PROBES[1:]))


GOLDENS = {
    "shop-100": shop,
    "crowded-100": lambda: crowded(100),
    "sampled-80": lambda: sampled(80),
    "healthy-80": lambda: text_of([m.served(n, n * 100, ms=4 + n % 5) for n in range(1, 100)], 80),
    "nothing-80": lambda: text_of([m.host(5000, 0, 0)], 80),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_golden(name):
    assert GOLDENS[name]() == (GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize("width", [72, 80, 100, 200])
def test_no_line_is_wider_than_asked(width):
    hostile = "/\N{CJK UNIFIED IDEOGRAPH-6F22}" * 80
    stream = [m.served(n, n, ms=600, target=f"{hostile}{n}a", method="M" * 60) for n in range(20)]
    probes = tuple(queued.poisoned(probe, hostile) for probe in queued.PROBES)
    text = text_of(stream, width, m.info(probes=probes), queued.poisoned_parts(hostile))
    assert max(cells(line) for line in text.splitlines()) <= width


def test_untrusted_strings_reach_the_terminal_escaped():
    evil = "/\x1b[2J\x07\r\n\u202etxt.exe\x00\x9b31m"
    wait = m.wait("lock", 600, detail="\x1b[1m", call="\x1b[2m", waker=m.waker(name="\x1b[3m"))
    text = text_of(
        [
            m.served(1, 1, lock=600, target=evil, method="\x1b[4m", waits=(wait,)),
            m.served(2, 2, calls=600, peers=(m.peer("unix:\x1b[5m", 600),)),
            m.in_flight(3, m.opened(9, 1, 3, target=evil, call="\x1b[6m")),
            Loss(m.START, "\x1b[7m", 1, "\x1b[8m"),
        ],
        info=m.info(
            command="\x1b]0;owned\x07",
            hostname="\x1b[9m",
            server="\x1b",
            python="\x1b",
            fidelity="sampled",
            container=Container("\x1b", *["\x1b[13m"] * 4),
            probes=tuple(queued.poisoned(probe, "\x1b[11m") for probe in (queued.LEDGER_LOST, *queued.PROBES)),
        ),
        parts=queued.poisoned_parts("\x1b[12m"),
        notes=["\x1b[10m"],
    )
    assert text.replace("\n", "").isprintable()
    assert r"/\x1b[2J\x07\x0d\x0a\u202etxt.exe" in text
    assert text.count(r"\x1b[11m") > 8
    assert text.count(r"\x1b[12m") > 20
    assert text.count(r"\x1b[13m") == 4


@given(st.text())
def test_clean_text_is_printable(text):
    assert clean(text).isprintable()


@given(st.text(), st.integers(0, 60))
def test_fit_makes_any_text_as_wide_as_asked(text, width):
    assert cells(fit(clean(text), width)) == width


@given(st.text(), st.integers(2, 60))
def test_wrap_keeps_all_and_stays_inside(text, width):
    cleaned = clean(text)
    lines = wrap(cleaned, width)
    assert all(cells(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(cleaned.split())


@given(st.lists(st.floats(0, 1e9), max_size=14), st.integers(0, 60))
def test_a_bar_is_as_long_as_asked(parts, width):
    assert len(bar([("x", part) for part in parts], width)) == width


def test_a_bar_shows_shares():
    assert bar([("a", 50), ("b", 25), ("c", 25), ("d", -3)], 8) == "aaaabbcc"
    assert bar([("a", 1), ("b", 1), ("c", 1)], 4) == "aabc"
    assert bar([], 3) == "   "


def test_nothing_is_said_of_queues_that_nobody_measured():
    text = text_of([m.served(1, 1, lock=600)], parts={"runnable_mean": None, "saturation_overall": ()})
    assert "── queues" not in text
    assert "── resources" not in text


def test_a_ledger_that_did_not_run_is_told_once():
    text = sampled(200)
    assert text.count("no CAP_BPF and CAP_PERFMON") == 1
    assert "ledger did not run" not in text
    assert "wire did not run: no CAP_NET_RAW; not known: TCP and TLS set-up times; to change that: sudo" in text


def test_over_its_budget_is_said():
    parts = queued.PARTS | {"own_cost": queued.own_cost(0.4)}
    assert "its budget is 10 % of a core and it is over it" in text_of([], 200, parts=parts)


@pytest.mark.parametrize(
    ("number", "decimal", "in_memory"),
    [
        (0, "0 B", "0 B"),
        (999, "999 B", "999 B"),
        (1024, "1.0 kB", "1.0 KiB"),
        (65536, "66 kB", "64 KiB"),
        (999_600, "1.0 MB", "976 KiB"),
        (8 << 30, "8.6 GB", "8.0 GiB"),
        (2**63, "9.2 EB", "8388608 TiB"),
    ],
)
def test_bytes_on_their_way_are_decimal_and_in_memory_binary(number, decimal, in_memory):
    assert (said.octets(number), said.binary(number)) == (decimal, in_memory)


@pytest.mark.parametrize(
    ("ms", "told"), [(None, "?"), (0, "0.0 ms"), (0.034, "34 µs"), (0.0999, "0.1 ms"), (12.5, "12 ms")]
)
def test_a_time_on_the_loopback_is_told_in_microseconds(ms, told):
    assert said.took(ms) == told


def test_a_cgroup_whose_memory_is_counted_in_another_one_tells_both():
    limit = CgroupLimit("/", None, None, 0.0, 0.0, 69 << 20, 72 << 20, 7, 0, memory_path="/shop")
    assert said.cgroup(limit) == (
        "/: no CPU quota; /shop: 69 MiB of memory used of 72 MiB allowed, its memory limit was reached 7 times"
    )
    assert said.cgroup(msgspec.structs.replace(limit, throttled=None)).startswith("/shop: 69 MiB")


@pytest.mark.parametrize(
    ("backlog", "drops", "told"),
    [
        (0, 0, "no connection waited where 7 may"),
        (1, None, "at most 1 connection waited where 7 may"),
        (8, 70, "it was full, 8 connections waited where 7 may; turned away 70 times since it was opened"),
    ],
)
def test_an_accept_queue_holds_one_more_than_its_limit(backlog, drops, told):
    socket = Socket("127.0.0.1:8000", None, None, None, backlog, 7, drops=drops)
    assert said.accept_queue(socket) == f"127.0.0.1:8000: {told}"


def test_who_used_next_to_nothing_is_left_out():
    users = [CpuShare(9, "busy", 0.75, is_target=True), CpuShare(10, "calm", 0.004, is_target=False)]
    assert said.cpu_users(users) == "busy (pid 9, the target) 0.75 CPUs"
    assert said.cpu_users(users[1:]) == ""
    assert said.disk_users([DiskShare(10, "calm", 712.0, 0.0, is_target=False)]) == ""


def test_a_letter_of_a_state_that_no_kernel_has_yet_is_shown_as_it_is():
    assert said.threads({"R": 1, "?": 2}) == "1 running or runnable, 2 ?"
