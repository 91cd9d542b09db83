"""The states that are easy to forget."""

import msgspec
import pytest
from fakes import LISTENER, PID, SECOND, START_NS, FakeSource, generate, session_info
from tui_driving import opened, scenario, screen, shows

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.model import ProbeStatus, ServedRequest
from perfwatch.probes.records import HostSample, InFlight, Loss, TargetChange

END = START_NS + 31 * SECOND
RECORDS = generate(30, hang=False)


@scenario
async def test_no_request_yet_says_what_is_watched_and_since_when():
    quiet = [record for record in RECORDS if not isinstance(record, (ServedRequest, InFlight))]
    async with opened(FakeSource(quiet)) as pilot:
        text = screen(pilot)
    assert f"Watching {LISTENER} since 14:13:20: no request has ended yet." in text


@scenario
async def test_not_even_a_record_yet():
    async with opened(FakeSource()) as pilot:
        assert "no request has ended yet" in screen(pilot)


@scenario
async def test_healthy_says_how_slow_the_slowest_was():
    quick = [r for r in RECORDS if not isinstance(r, ServedRequest) or r.target.startswith("/item")]
    async with opened(FakeSource(quick)) as pilot:
        text = screen(pilot)
    assert "✓  " in text
    assert "slowest 14 ms" in text
    assert "none so far" in text


@scenario
async def test_the_target_is_gone_and_the_view_stays():
    gone = TargetChange(END, PID, "gone", "killed by signal 9")
    async with opened(FakeSource((*RECORDS, gone))) as pilot:
        text = screen(pilot)
    assert "target gone: " in text
    assert "killed by signal 9" in text
    assert "■ live" in text
    assert "POST /order/{}" in text


@pytest.mark.parametrize(("lost", "words"), [(1, "1 event was lost"), (12_345, "12k events were lost")])
@scenario
async def test_losses_are_counted(lost, words):
    async with opened(FakeSource((*RECORDS, Loss(END, "ledger", lost, "ring full")))) as pilot:
        assert words in screen(pilot)


@scenario
async def test_sampled_fidelity_and_missing_probes_are_told():
    probes = (ProbeStatus("ledger", "unavailable", "needs CAP_BPF"),)
    info = session_info(fidelity="sampled", probes=probes)
    async with opened(FakeSource(RECORDS, info=info), size=(160, 40)) as pilot:
        text = screen(pilot)
    assert "perfwatch doctor" in text
    assert "no ledger: needs CAP_BPF" in text


@scenario
async def test_the_sources_own_note_and_its_end_are_told():
    source = FakeSource(RECORDS, note="2 of 600 seconds are damaged and left out", ended="end of the recording")
    async with opened(source) as pilot:
        await shows(pilot, "end of the recording")
        assert "2 of 600 seconds are damaged" in screen(pilot)


@scenario
async def test_a_source_that_breaks_is_told_and_the_view_stays():
    source = FakeSource(RECORDS)
    async with opened(source) as pilot:
        source.fail = PerfwatchError("the collector died", "start perfwatch again")
        await shows(pilot, "✗ the collector died (start perfwatch again)")
        assert "■ broken" in screen(pilot)
        assert "POST /order/{}" in screen(pilot)


@scenario
async def test_perfwatch_over_its_budget_says_so():
    greedy = [
        msgspec.structs.replace(r, cpu_ns=r.cpu_ns * 40) if getattr(r, "role", "") == "perfwatch" else r
        for r in RECORDS
    ]
    async with opened(FakeSource(greedy)) as pilot:
        assert "perfwatch itself uses 36 % of a core" in screen(pilot)


@pytest.mark.parametrize("size", [(59, 30), (100, 15), (20, 5)])
@scenario
async def test_a_terminal_that_is_too_small_says_so(size):
    async with opened(FakeSource(RECORDS), size=size) as pilot:
        text = screen(pilot)
        assert "terminal too small" in text
        assert "needs 60x16" in text
        await pilot.resize_terminal(80, 24)
        await shows(pilot, "POST /order/{}")


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (96, 28), (100, 30), (160, 50), (250, 80)])
@scenario
async def test_no_line_is_wider_than_the_terminal_and_the_essentials_are_there(size):
    async with opened(FakeSource(generate(30)), size=size) as pilot:
        text = screen(pilot)
    for part in ("pid 4312", "waits", "POST /order/{}", "lock 78 %", "/report/7", "● live"):
        assert part in text
    assert max(map(len, text.splitlines())) <= size[0]
    assert len(text.splitlines()) == size[1]


@scenario
async def test_a_host_that_nobody_measured_shows_no_figures():
    blind = [record for record in RECORDS if not isinstance(record, HostSample)]
    async with opened(FakeSource(blind)) as pilot:
        assert "cpu ░░░░░░░░░░ -" in screen(pilot)
