"""The states that are easy to forget."""

import msgspec
import pytest
import queued
from fake_records import booked
from fakes import LISTENER, MS, PID, SECOND, START_NS, FakeSource, generate, session_info
from tui_driving import opened, scenario, screen, shows

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.model import ProbeStatus, ServedRequest
from perfwatch.probes.records import HostSample, InFlight, Loss, TargetChange
from perfwatch.probes.samples import ThreadTime

END = START_NS + 31 * SECOND
RECORDS = generate(30, hang=False)


@scenario
async def test_no_request_yet_says_what_is_watched_and_since_when():
    quiet = [record for record in RECORDS if not isinstance(record, (ServedRequest, InFlight))]
    async with opened(FakeSource(quiet)) as pilot:
        text = screen(pilot)
    assert f"Watching {LISTENER} since 14:13:20: no request has ended yet." in text


@scenario
async def test_without_packets_it_says_what_the_threads_did_and_what_would_show_requests():
    spent = booked(on_cpu=300 * MS, lock=600 * MS)
    busy = [ThreadTime(START_NS + n * SECOND, PID, 4, 100, spent, 3 * SECOND) for n in range(1, 5)]
    info = session_info(fidelity="sampled", probes=(queued.LEDGER_LOST,))
    async with opened(FakeSource(busy, info=info), size=(140, 30)) as pilot:
        text = screen(pilot)
    assert "its threads spent their busy time so: " in text
    assert f"To see requests: {queued.LEDGER_LOST.remedy}" in text
    assert "no request has ended yet" not in text


@scenario
async def test_a_first_request_that_hangs_is_the_verdict():
    stuck = [record for record in generate(60) if isinstance(record, InFlight)]
    async with opened(FakeSource(stuck)) as pilot:
        box = "\n".join(screen(pilot).splitlines()[1:5])
    assert "GET /report" in box
    assert "no request has ended yet" not in box


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
    probes = (ProbeStatus("ledger", "unavailable", "needs CAP_BPF"), ProbeStatus("wire", "unavailable", "no scapy"))
    info = session_info(fidelity="sampled", probes=probes)
    async with opened(FakeSource(RECORDS, info=info), size=(160, 40)) as pilot:
        header, *lines = screen(pilot).splitlines()
    assert "● live  sampled" in header
    told = "sampled, not exact: needs CAP_BPF; `perfwatch doctor` tells what would give more"
    assert any(told in line and "no wire: no scapy" in line and "no ledger" not in line for line in lines)


@scenario
async def test_the_command_that_would_give_the_ledger_is_told_with_what_it_gives():
    info = session_info(fidelity="sampled", probes=(queued.LEDGER_LOST,))
    async with opened(FakeSource(RECORDS, info=info), size=(160, 40)) as pilot:
        text = screen(pilot)
    assert "no CAP_BPF and CAP_PERFMON; `sudo perfwatch 4312` gives exact ledgers, waits below 10 ms" in text


@scenario
async def test_a_slowed_probe_is_named_with_how_often_it_is_read():
    async with opened(FakeSource(RECORDS), size=(140, 40), judge_factory=queued.judge()) as pilot:
        header, *lines = screen(pilot).splitlines()
    assert "collector 3.4 % 46 MiB  sockets every 4 s" in header
    assert any("sockets is read every 4 s only: a reading took 97 ms" in line for line in lines)


@scenario
async def test_what_matters_least_leaves_a_narrow_header_first():
    headers = {}
    for width in (60, 80, 100, 120):
        async with opened(FakeSource(RECORDS), size=(width, 24), judge_factory=queued.judge()) as pilot:
            headers[width] = screen(pilot).splitlines()[0]
    assert all("pid 4312" in header and "● live  exact" in header for header in headers.values())
    assert [width for width, header in headers.items() if "collector 3.4 %" in header] == [80, 100, 120]
    assert [width for width, header in headers.items() if "sockets every 4 s" in header] == [100, 120]
    assert [width for width, header in headers.items() if "46 MiB" in header] == [120]


@scenario
async def test_over_its_own_budget_it_says_so_with_the_budget():
    judge = queued.judge(own_cost=queued.own_cost(0.31))
    async with opened(FakeSource(RECORDS), judge_factory=judge) as pilot:
        assert "perfwatch itself uses 31 % of a core; its budget is 10 %" in screen(pilot)


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
        assert "cpu ░░░░░░░░ -" in screen(pilot)
