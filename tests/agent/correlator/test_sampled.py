"""The sampled fidelity: less sure, unknown more often, never a wrong certainty."""

import around as a
import making as m
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.agent.correlator.fidelity import INFERRED, trust
from perfwatch.agent.correlator.weighing import Balance, weigh
from perfwatch.agent.report import correlate


def drive(*records, **changes):
    return correlate(m.info(**({"fidelity": "sampled", "slow_ms": 1} | changes)), records)


def served(number, ms=None, **fields):
    return m.served(number, number * 10, ms=ms, fidelity="sampled", **fields)


def facts(verdict):
    return {one.name: one.value for one in verdict.evidence}


def test_a_sampled_verdict_is_less_sure_and_says_that_it_was_sampled():
    spent = {"lock": 450, "calls": 50}
    _, [exact] = correlate(m.info(slow_ms=1), [m.served(1, 0, **spent)])
    _, [sampled] = drive(served(1, **spent))
    assert sampled.verdict.mechanism == exact.verdict.mechanism == "lock"
    assert sampled.verdict.confidence == pytest.approx(exact.verdict.confidence * INFERRED * 50 / 54, abs=2e-3)
    assert facts(sampled.verdict)["fidelity"] == "sampled"
    assert "fidelity" not in facts(exact.verdict)


def test_the_fewer_readings_the_less_sure():
    confidences = [drive(served(1, lock=ms))[1][0].verdict.confidence for ms in (30, 100, 300, 3000)]
    assert confidences == sorted(confidences)
    assert confidences[0] == pytest.approx(0.3, abs=0.01)
    assert confidences[-1] < INFERRED


def test_what_spans_less_than_three_readings_is_unknown():
    _, [request] = drive(served(1, lock=29))
    assert request.verdict.principle == "unknown"
    assert request.verdict.summary == "too short to be sampled: 2 readings of its thread"


def test_unaccounted_time_makes_it_unknown():
    _, [request] = drive(served(1, 300, lock=120))
    assert request.verdict.principle == "unknown"
    assert request.verdict.summary == "60 % of it is unaccounted"
    assert request.verdict.advice[0].startswith("`perfwatch doctor` says what this machine allows")


def test_a_request_whose_thread_was_not_found_is_unknown_and_says_so():
    view, [request] = drive(served(1, 300, queue=10, threads="unmatched"))
    assert request.verdict.principle == "unknown"
    assert request.verdict.summary == "sampling could not tell which thread served it"
    assert facts(request.verdict)["threads"] == "unmatched"
    assert view.verdict.principle == "unknown"
    assert facts(view.verdict)["threads"] == "unmatched"


def test_its_queue_was_measured_all_the_same():
    assert drive(served(1, 300, queue=280, threads="unmatched"))[1][0].verdict.mechanism == "queue"


def test_many_sampled_requests_are_surer_than_one_but_never_as_sure_as_exact_ones():
    records = [served(n, lock=100) for n in range(1, 41)]
    many, one = drive(*records)[0].verdict, drive(records[0])[0].verdict
    exact = correlate(m.info(slow_ms=1), [m.served(n, n * 10, lock=100) for n in range(1, 41)])[0].verdict
    assert one.confidence < many.confidence <= exact.confidence * INFERRED
    assert facts(many)["fidelity"] == "sampled"


def test_a_correction_takes_its_readings_back():
    view, _ = drive(served(1, lock=3000), served(1, lock=40), slow_ms=1)
    alone, _ = drive(served(2, lock=1), served(1, lock=40), slow_ms=30)
    assert view.verdict.confidence == alone.verdict.confidence


def test_nothing_slow_is_not_certain_either():
    assert drive(served(1, 2), slow_ms=500)[0].verdict.confidence == INFERRED


def test_what_hangs_is_sampled_too():
    def hanging(fidelity):
        view, _ = correlate(m.info(fidelity=fidelity), [m.in_flight(5000, m.opened(1, 4000, 5000))])
        return view.verdict

    assert hanging("sampled").mechanism == hanging("exact").mechanism == "lock"
    assert hanging("sampled").confidence < hanging("exact").confidence * 0.7


# --- what sampling cannot see but the surroundings tell


@pytest.mark.parametrize("spent", [{"run_queue": 400, "on_cpu": 100}, {"run_queue": 80, "on_cpu": 20, "gil": 400}])
def test_a_quota_that_is_used_up_on_a_host_with_free_cpus_is_throttling(spent):
    quota = (a.quota(-1000, 0, 0, 0), a.quota(0, 200, 9, 1600))
    _, [request] = drive(*quota, served(1, **spent))
    assert (request.verdict.principle, request.verdict.mechanism) == ("capacity", "throttle")
    assert facts(request.verdict)["throttling"] == "inferred"
    assert facts(request.verdict)["cgroup"] == a.CGROUP


def test_it_is_not_where_the_cpus_were_full_or_the_quota_was_not_used_up():
    spent = {"run_queue": 400, "on_cpu": 100}
    full = (*m.full_host(), a.quota(-1000, 0, 0, 0), a.quota(0, 200, 9, 1600))
    seldom = (a.quota(-1000, 0, 0, 0), a.quota(0, 200, 2, 1600))
    for before in (full, seldom, ()):
        _, [request] = drive(*before, served(1, **spent))
        assert request.verdict.mechanism == "run-queue"


# --- without any requests


def test_threads_alone_say_what_the_process_does_and_no_more():
    times = [a.thread_time(n * 1000, 4, idle=2000, lock=1500, on_cpu=400, disk=20) for n in range(1, 11)]
    verdict = drive(*times)[0].verdict
    assert (verdict.principle, verdict.mechanism, verdict.confidence) == ("unknown", None, 0)
    assert verdict.summary.startswith(
        "no request seen in 10.0 s; its threads spent their busy time so: 75 % waiting for locks, 20 % computing"
    )
    found = facts(verdict)
    assert found["threads_lock"] == pytest.approx(15_000 / 19_920, abs=1e-3)
    assert "threads_disk" not in found
    assert found["busy"] == pytest.approx(19_920 / 39_920, abs=1e-3)
    assert "perfwatch doctor" in verdict.advice[0]


def test_what_the_samples_could_not_book_is_not_shared_out():
    """Without the right to read system calls most thread time has no name."""
    times = [a.thread_time(n * 1000, 4, lock=400) for n in range(11)]
    found = facts(drive(*times)[0].verdict)
    assert found["unaccounted"] == pytest.approx(0.89, abs=0.02)
    assert found["threads_lock"] == pytest.approx(0.11, abs=0.02)


def test_idle_threads_only_wait():
    verdict = drive(*(a.thread_time(n * 1000, 4, idle=4000) for n in range(3)))[0].verdict
    assert verdict.summary == "no request seen in 2.00 s; its threads only waited for work (sampled)"


def test_requests_that_are_seen_speak_for_themselves():
    times = a.thread_time(1000, 4, lock=1500)
    assert drive(times, served(1, sleep=400))[0].verdict.mechanism == "sleep"
    assert drive(times, served(1, 3), slow_ms=None)[0].verdict.principle == "healthy"


@given(st.integers(-(2**62), 2**62), st.integers(-(2**40), 2**40))
def test_trust_is_a_share(readings, spent):
    assert 0 < trust(readings) <= 1
    assert 0 <= weigh(Balance(2**40, {"lock": spent}, 0, readings)).confidence <= 0.99
