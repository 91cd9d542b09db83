"""Why a request had no CPU: the run queue with its neighbours, and the quota with what it lacks."""

import around as a
import making as m
import msgspec
import pytest
from judging import facts, judge, text

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.probes.records import ProcessSample, Waker


def crowd(*top, busy_ms=990, runnable=(6, 6, 5, 7), steal_ms=0):
    """A second of two CPUs, with a second before it."""
    return (
        a.cpu(-1000, (0, 0)),
        a.cpu(0, (busy_ms, busy_ms), steal_ms=steal_ms, runnable=runnable, top=top),
    )


def waits(*ahead, ms=40):
    return tuple(m.wait("run_queue", 0, runnable_ns=round(ms * m.MS), ahead=one) for one in ahead)


def thread(name, pid, tid=77):
    return Waker(pid, tid, name, None)


# --- run queue


def test_a_run_queue_names_its_neighbours_and_their_share():
    top = (a.user("hog", 800, 901), a.user("hog", 700, 902), a.user("gunicorn", 300, 4313, is_target=True))
    verdict = judge(m.served(1, 0, run_queue=300, on_cpu=80), *crowd(*top))
    assert facts(verdict)["neighbour"] == "hog"
    assert text(verdict, "neighbour") == "at least 2 neighbours named hog used 1.5 CPUs or more, 75 % of the host"
    assert facts(verdict)["cpu_use"] == 0.99
    assert facts(verdict)["waiting_threads"] == 4.0
    assert facts(verdict)["others_cpus"] == pytest.approx(1.7)
    assert verdict.advice[0].startswith("Move the busy neighbours off")


def test_the_targets_own_processes_are_no_neighbours():
    top = (a.user("gunicorn", 900, 4313, is_target=True), a.user("gunicorn", 900, 4314, is_target=True))
    verdict = judge(m.served(1, 0, run_queue=300), *crowd(*top))
    assert "neighbour" not in facts(verdict)
    assert verdict.advice[0].startswith("The server itself fills the CPUs")


def test_whom_it_queued_behind_is_told_by_the_most_time():
    ahead = (thread("hog", 901), thread("hog", 901, 78), thread("backup", 902))
    verdict = judge(m.served(1, 0, run_queue=120, waits=waits(*ahead)))
    assert facts(verdict)["ahead"] == "hog"
    assert text(verdict, "ahead").startswith("80.0 ms of it behind hog (pid 901), another process")


@pytest.mark.parametrize(("pid", "whose"), [(4313, "its own process"), (4399, "another process of the server")])
def test_it_may_queue_behind_the_server_itself(pid, whose):
    own = ProcessSample(m.START, 4399, "target", 0, 1, 1)
    verdict = judge(m.served(1, 0, run_queue=40, waits=waits(thread("worker", pid))), own)
    assert whose in text(verdict, "ahead")


def test_nobody_is_named_who_was_not_seen():
    found = facts(judge(m.served(1, 0, run_queue=300, waits=waits(None))))
    assert set(found) == {"run_queue_ms"}


def test_stolen_time_is_told():
    verdict = judge(m.served(1, 0, run_queue=300), *crowd(busy_ms=500, steal_ms=450))
    assert facts(verdict)["steal"] == 0.45
    assert verdict.advice[0].startswith("The hypervisor gave CPU time to other guests")
    assert len(verdict.advice) == 3


def test_one_full_cpu_beside_an_idle_one_is_pinning():
    verdict = judge(m.served(1, 0, run_queue=300), a.cpu(-1000, (0, 0)), a.cpu(0, (1000, 0), runnable=(3, 3)))
    assert facts(verdict)["busiest_cpu"] == 1.0
    assert verdict.advice[0].startswith("Other CPUs were idle")


def test_a_request_is_explained_by_its_own_time_and_not_by_now():
    """A long quiet request follows a crowded one; a record of each second is kept for a minute."""
    crowded = [a.cpu(-1000), a.cpu(0, (990, 990), runnable=(9, 9)), a.cpu(1000, (1980, 1980), runnable=(9, 9))]
    quiet = [a.cpu(1000 + n * 1000, (1980 + n, 1980 + n), runnable=(1, 1)) for n in range(1, 20)]
    late = judge(m.served(1, 900, run_queue=600), *crowded, *quiet)
    assert facts(late)["waiting_threads"] == 7.0
    assert facts(judge(m.served(1, 19_900, run_queue=600), *crowded, *quiet))["waiting_threads"] == 0.0


def test_what_was_measured_long_before_is_no_evidence():
    assert set(facts(judge(m.served(1, 60_000, run_queue=300), *crowd()))) == {"run_queue_ms"}


# --- throttling


def throttled(at_ms, run_queue, throttled_ms, **spent):
    return m.served(1, at_ms, run_queue=run_queue, throttled_ns=round(throttled_ms * m.MS), **spent)


def test_a_throttled_request_names_the_quota_and_what_is_missing():
    before = (a.quota(-1000, 0, 0, 0), a.quota(0, 200, 9, 1600))
    verdict = judge(throttled(0, 410, 400, on_cpu=100), *before)
    assert (verdict.principle, verdict.mechanism) == ("capacity", "throttle")
    assert verdict.summary == "waited 400 ms for its CPU quota (78 %)"
    found = facts(verdict)
    assert found["throttled_ms"] == 400.0
    assert found["cgroup"] == a.CGROUP
    assert text(verdict, "cgroup") == (
        f"cgroup {a.CGROUP} may use 0.2 CPUs, and was throttled in 90 % of its periods; about 1.6 more were wanted"
    )
    assert (found["quota_cpus"], found["throttled_periods"]) == (0.2, 0.9)
    assert (found["used_cpus"], found["missing_cpus"]) == (0.2, 1.6)
    assert verdict.advice[0].startswith("Raise the CPU quota")


def test_the_rest_of_the_run_queue_stays_run_queue():
    verdict = judge(throttled(0, 400, 100, on_cpu=10))
    assert verdict.mechanism == "run-queue"
    assert verdict.share == pytest.approx(300 / 410, abs=1e-3)
    assert ("throttle", "also throttle 24 %") in [(one.value, one.text) for one in verdict.evidence]


@pytest.mark.parametrize("claimed_ms", [500, 10**12, -5])
def test_no_more_is_throttled_than_was_queued(claimed_ms):
    verdict = judge(throttled(0, 300, claimed_ms))
    assert verdict.share == 1.0
    assert verdict.mechanism == ("run-queue" if claimed_ms < 0 else "throttle")


def test_an_endpoint_says_as_much():
    records = [throttled(n * 10, 400, 390, on_cpu=60) for n in range(5)]
    records = [msgspec.structs.replace(one, id=number) for number, one in enumerate(records)]
    correlator = Correlator(m.info(slow_ms=1))
    for record in (a.quota(-1000, 0, 0, 0), a.quota(0, 200, 9, 1600), *records):
        correlator.feed(record)
    verdict = correlator.view().verdict
    assert verdict.summary == "GET / is slow (p95 460 ms): 85 % of it waits for its CPU quota"
    assert text(verdict, "cgroup").startswith(f"cgroup {a.CGROUP} may use 0.2 CPUs")


def test_a_quota_that_nobody_measured_is_not_invented():
    assert set(facts(judge(throttled(0, 400, 400)))) == {"throttled_ms"}


def test_a_cgroup_that_was_not_throttled_is_not_blamed():
    assert "cgroup" not in facts(judge(throttled(0, 400, 400), a.quota(-1000, 0, 3, 70), a.quota(0, 100, 3, 70)))


def test_gil_time_whose_holders_were_throttled_is_throttle_on_an_idle_host():
    """Four threads under a quota: each runs 20 ms, stands throttled for 80, and waits for the other three."""
    record = throttled(0, 80, 80, on_cpu=20, gil=300)
    verdict = judge(record)
    assert verdict.mechanism == "throttle"
    assert facts(verdict)["throttled_gil_ms"] == 240.0
    assert verdict.share == pytest.approx(320 / 400)


def test_on_a_full_host_the_starved_gil_time_is_split_as_its_own_was():
    verdict = judge(throttled(0, 80, 60, on_cpu=20, gil=100), *m.full_host())
    assert verdict.mechanism == "throttle"
    assert verdict.share == pytest.approx(120 / 200)
    also = [one.text for one in verdict.evidence if one.name == "also"]
    assert also == ["also run-queue 20 %", "also gil 10 %", "also cpu 10 %"]


def test_the_gil_alone_starves_nobody():
    assert judge(m.served(1, 0, gil=300, on_cpu=60, run_queue=20)).mechanism == "gil"
    assert judge(throttled(0, 0.2, 0.2, gil=300, on_cpu=0.1)).mechanism == "gil"


def test_a_hanging_request_may_be_throttled():
    correlator = Correlator(m.info(slow_ms=1))
    stuck = m.opened(1, 2000, 2000, "run_queue", throttled_ns=1900 * m.MS)
    correlator.feed(m.in_flight(2000, stuck))
    assert correlator.view().verdict.mechanism == "throttle"
