"""What is unknown says what would be needed to know it: the probe, the permission, the command."""

import looped as lo
import making as m
import pytest

from perfwatch.agent.model import ProbeStatus
from perfwatch.agent.report import correlate

LEDGER_LOST = ProbeStatus(
    "ledger", "unavailable", "no permission to load BPF programs", "exact ledgers", "run as root, or with CAP_BPF"
)
TASKS_LOST = ProbeStatus("tasks", "unavailable", "no permission to look into it", "what it awaits", "run as root")


def judged(record, *probes):
    view, [request] = correlate(m.info(slow_ms=1, probes=probes), [record])
    return request.verdict, view.endpoints[0].verdict


def needed(verdict):
    return {one.name: (one.value, one.text) for one in verdict.evidence}.get("needed")


def test_sampled_requests_need_the_ledger_and_its_remedy():
    short = m.served(1, 1, fidelity="sampled", on_cpu=15)
    verdict, of_endpoint = judged(short, LEDGER_LOST)
    assert verdict.principle == of_endpoint.principle == "unknown"
    name, text = needed(verdict)
    assert name == "ledger"
    assert "did not run (no permission to load BPF programs)" in text
    assert verdict.advice[0] == "For exact ledgers, from the ledger probe: run as root, or with CAP_BPF."
    assert needed(of_endpoint)[0] == "ledger"
    assert of_endpoint.advice == verdict.advice


def test_where_the_reason_is_not_known_the_doctor_is_named():
    verdict, _ = judged(m.served(1, 1, fidelity="sampled", on_cpu=15))
    assert "perfwatch doctor" in verdict.advice[0]


def test_a_suspended_coroutine_needs_the_tasks_or_the_middleware():
    wait = m.wait("other", 100, call=None, detail="suspended")
    record = m.served(1, 1000, threads="followed", other=100, waits=(wait,))
    verdict, _ = judged(record, TASKS_LOST)
    assert needed(verdict)[0] == "tasks"
    assert verdict.advice[0].endswith(": run as root.")
    verdict, _ = judged(record, ProbeStatus("tasks", "running"))
    assert "perfwatch middleware --spans" in verdict.advice[0]


def test_a_wait_in_the_kernel_needs_its_stack():
    wait = m.wait("other", 100, call="ioctl", detail="some_driver_wait")
    verdict, _ = judged(m.served(1, 1000, other=100, waits=(wait,), pid=17, tid=18))
    assert "some_driver_wait" in needed(verdict)[1]
    assert "/proc/17/task/18/stack" in verdict.advice[0]
    assert "strace -f -T -p 17" in verdict.advice[1]


@pytest.mark.parametrize(("lost", "word"), [(0, "unaccounted"), (9, "waits")])
def test_unaccounted_time_needs_what_was_lost(lost, word):
    verdict, _ = judged(m.served(1, 1000, ms=100, lock=20, waits_lost=lost))
    assert needed(verdict)[0] == word
    assert any("strace" in advice for advice in verdict.advice)


def test_who_was_not_followed_needs_a_recording_from_the_start():
    verdict, _ = judged(m.served(1, 1000, ms=100, queue=20, threads="several"))
    assert needed(verdict)[0] == "threads"
    assert "perfwatch run --" in verdict.advice[0]


def test_several_causes_need_nothing_but_work():
    verdict, of_endpoint = judged(m.served(1, 1000, lock=34, calls=33, on_cpu=33))
    assert needed(verdict) is None
    assert verdict.advice == of_endpoint.advice
    assert "each is worth its share" in verdict.advice[0]


def test_requests_of_different_causes_are_told_to_be_so():
    records = [m.served(n, n, **{("lock", "disk", "sleep")[n % 3]: 100}) for n in range(12)]
    verdict = correlate(m.info(slow_ms=1), records)[0].endpoints[0].verdict
    assert verdict.principle == "unknown"
    assert "slow for different reasons" in verdict.advice[0]


def test_what_is_known_needs_nothing():
    verdict, of_endpoint = judged(lo.followed(1, 1000, lock=100), LEDGER_LOST, TASKS_LOST)
    assert verdict.mechanism == "lock"
    assert needed(verdict) is needed(of_endpoint) is None


def test_where_no_request_is_seen_the_probe_that_would_tell_is_named():
    limited = ProbeStatus("sampled", "limited", "no permission to capture packets", "requests", "give it CAP_NET_RAW")
    view, _ = correlate(m.info(fidelity="sampled", probes=(LEDGER_LOST, limited)), [m.host(100, 0, 0)])
    assert view.verdict.principle == "unknown"
    needs = [one.text for one in view.verdict.evidence if one.name == "needed"]
    assert needs == [
        "requests may go unseen: ledger did not run (no permission to load BPF programs)",
        "requests may go unseen: sampled ran in part (no permission to capture packets)",
    ]
    assert view.verdict.advice[1:] == (
        "To see requests: run as root, or with CAP_BPF.",
        "To see requests: give it CAP_NET_RAW.",
    )
