"""The page of probes: what they cost, what is not known, what was lost; and the doctor, when asked."""

import threading

import queued
from fakes import FakeSource, generate, session_info
from tui_driving import open_page, opened, scenario, screen, settled, shows, until

from perfwatch.agent.doctor import Check, Diagnosis, ProbeCheck
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.model import ProbeStatus
from perfwatch.tui.screens.overview import OverviewScreen
from perfwatch.tui.screens.probes import ProbesScreen

DIAGNOSIS = Diagnosis(
    "sampled",
    (
        Check("kernel", "ok", "Linux 6.18.5"),
        Check("rights", "missing", "no CAP_BPF and CAP_PERFMON", "the exact ledger", "sudo perfwatch"),
    ),
    (
        ProbeCheck(
            "wire", "measures", "unavailable", "no CAP_NET_RAW", "TCP and TLS set-up times", "setcap cap_net_raw"
        ),
    ),
    4312,
)


def page(*, size=(120, 60), probes=queued.PROBES, fidelity="exact", diagnose=None, **changes):
    source = FakeSource(generate(10), info=session_info(probes=probes, fidelity=fidelity))
    return opened(source, size=size, diagnose=diagnose, judge_factory=queued.judge(**changes))


@scenario
async def test_cost_and_probes_are_told_those_that_lack_something_first():
    async with page(losses=(("wire", 12),), lost=12) as pilot:
        await open_page(pilot, "0", ProbesScreen)
        text = screen(pilot)
    for part in (
        "2 of 4 run as they should   12 events lost",
        "3.4 % of its budget of 10 %",
        "1.7 % over the session, 46 MiB of memory",
        "every request is followed in the kernel",
        "ledger         running       1.2 %   every 0.05 s",
        "slowed: a reading took 97 ms: 20,000 sockets (usually every 1 s)",
        "why: wait channels cannot be read",
        "do: sudo perfwatch",
        "      12  wire",
        "d asks what this machine and the target allow",
    ):
        assert part in text
    states = ("running ", "limited ", "unavailable ")
    names = [line.split()[0] for line in text.splitlines() if any(f"  {state}" in line for state in states)]
    assert names == ["wire", "threads", "ledger", "sockets", "host"]


@scenario
async def test_what_would_give_the_exact_ledger_is_told_of_a_sampled_session():
    async with page(probes=(queued.LEDGER_LOST,), fidelity="sampled") as pilot:
        await open_page(pilot, "0", ProbesScreen)
        text = screen(pilot)
    assert "waits between two readings are not seen" in text
    for part in ("why: no CAP_BPF and CAP_PERFMON", "not known: exact ledgers", "do: sudo perfwatch 4312"):
        assert text.count(part) == 2, "below the fidelity, and below the probe"


@scenario
async def test_a_cost_over_the_budget_is_an_alarm():
    async with page(own_cost=queued.own_cost(0.18)) as pilot:
        await open_page(pilot, "0", ProbesScreen)
        await shows(pilot, "18 % of its budget of 10 %  over it")


@scenario
async def test_the_doctor_looks_when_asked_and_says_what_would_help():
    looked, may_tell = [], threading.Event()

    def diagnose(pid):
        looked.append(pid)
        assert may_tell.wait(30)
        return DIAGNOSIS

    async with page(size=(80, 24), diagnose=diagnose) as pilot:
        await open_page(pilot, "0", ProbesScreen)
        assert looked == []
        await pilot.press("d")
        await shows(pilot, "the doctor is looking at this machine ...")
        may_tell.set()
        await shows(pilot, "perfwatch can attach here in sampled fidelity")
        for part in ("kernel         ok           Linux 6.18.5", "do: sudo perfwatch", "do: setcap cap_net_raw"):
            await shows(pilot, part)
        assert looked == [4312]


@scenario
async def test_a_doctor_that_fails_says_why_in_one_line():
    def diagnose(_):
        raise PerfwatchError("no process 4312", "perfwatch lists those there are")

    async with page(diagnose=diagnose) as pilot:
        await open_page(pilot, "0", ProbesScreen)
        await pilot.press("d")
        await shows(pilot, "no process 4312")


@scenario
async def test_what_the_doctor_finds_after_the_page_was_left_is_dropped():
    may_tell, told = threading.Event(), threading.Event()

    def diagnose(_):
        may_tell.wait(30)
        told.set()
        return DIAGNOSIS

    async with page(diagnose=diagnose) as pilot:
        await open_page(pilot, "0", ProbesScreen)
        await pilot.press("d", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))
        may_tell.set()
        await until(pilot, told.is_set)
        await pilot.app.workers.wait_for_complete()
        await settled(pilot)
        await shows(pilot, "slow requests")


@scenario
async def test_a_recording_has_no_doctor():
    async with page(size=(80, 24)) as pilot:
        await open_page(pilot, "0", ProbesScreen)
        await pilot.press("d")
        await shows(pilot, "this is a recording: see perfwatch")


@scenario
async def test_a_probe_that_only_its_cost_tells_of_is_listed():
    async with page(probes=(ProbeStatus("wire", "limited"),)) as pilot:
        await open_page(pilot, "0", ProbesScreen)
        text = screen(pilot)
    assert "why: no reason given" in text
    assert "ledger         running" in text
