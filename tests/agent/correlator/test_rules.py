"""One hand-built request for every mechanism: what it is called, why, and what to do."""

import looped as lo
import making as m
import msgspec
import pytest

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.model import BUCKETS, MECHANISMS, PRINCIPLE_OF
from perfwatch.probes.records import ProcessSample


def judge(record, *before):
    correlator = Correlator(m.info(slow_ms=1))
    for one in before:
        correlator.feed(one)
    [request] = correlator.feed(record)
    return request.verdict


def facts(verdict):
    return {one.name: one.value for one in verdict.evidence}


PLAIN = {
    "cpu": {"on_cpu": 300},
    "gc": {"on_cpu": 300, "gc_ns": 300 * m.MS},
    "sleep": {"sleep": 300},
    "gil": {"gil": 300, "on_cpu": 60},
    "chatty": {"calls": 300, "calls_made": lo.in_a_row(30, 10)},
    "connect": {"calls": 300, "calls_made": (lo.opening(-900, 300, wait=0),)},
    "tls": {"calls": 300, "calls_made": (lo.opening(-900, 0, 300, 0),)},
    "transfer": {"calls": 300, "calls_made": (lo.large(-900, 0, 300),)},
    "event-loop": {"loop": 300, "threads": "followed"},
    "pool": {"lock": 300, "waits": (m.wait("lock", 300, stack=0),), "code": m.stacks(lo.PSYCOPG)},
    "lock": {"lock": 300},
    "queue": {"queue": 300},
    "run-queue": {"run_queue": 300, "on_cpu": 80},
    "throttle": {"run_queue": 300, "throttled_ns": 300 * m.MS, "on_cpu": 80},
    "disk": {"disk": 300},
    "memory": {"fault": 300},
    "network": {"receive": 200, "send": 100},
    "dependency": {"calls": 200, "child": 100},
}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_each_mechanism_is_told_from_its_buckets(mechanism):
    plain = dict(PLAIN[mechanism])
    calls = plain.pop("calls_made", ())
    record = m.served(1, 0, **plain, other=5)
    if calls:
        record = msgspec.structs.replace(record, started_ns=calls[0].started_ns, calls=calls)
    verdict = judge(record)
    assert (verdict.mechanism, verdict.principle) == (mechanism, PRINCIPLE_OF[mechanism])
    assert verdict.share == pytest.approx(
        300 / (sum(PLAIN[mechanism].get(bucket, 0) for bucket in BUCKETS) + 5), abs=0.0001
    )
    assert verdict.confidence > 0.8
    assert 1 <= len(verdict.advice) <= 3
    assert "300 ms" in verdict.summary
    assert any(one.value in (200.0, 300.0) for one in verdict.evidence)


def test_a_lock_names_its_address_its_waker_and_the_request_that_held_it():
    holder = m.served(7, 900, lock=2, calls=600, target="/refresh/3")
    waits = (
        m.wait("lock", 40, detail="0x7f01", waker=m.waker(6)),
        m.wait("lock", 391.2, detail="0x7f02", waker=m.waker(7, name="ThreadPool-1")),
    )
    verdict = judge(m.served(1, 1000, lock=431.2, on_cpu=10, waits=waits), holder)
    assert verdict.summary == "waited 431 ms for a lock (98 %)"
    assert facts(verdict) == {
        "lock_ms": 431.2,
        "longest_wait_ms": 391.2,
        "lock": "0x7f02",
        "waker": "ThreadPool-1 (pid 4313, tid 4321)",
        "culprit": "GET /refresh/{}",
        "culprit_spent": "calls",
    }
    texts = [one.text for one in verdict.evidence]
    assert "waited 431.2 ms for a lock, in 2 waits of 1 ms or more" in texts
    assert "that thread was serving GET /refresh/3" in texts
    assert "which spent 600.0 ms waiting for other services" in texts


def test_a_holder_that_is_still_in_flight_is_known_too():
    holder = m.opened(7, 500, 900, "calls", target="/slow-refresh")
    record = m.served(1, 1000, lock=300, waits=(m.wait("lock", 300, waker=m.waker(7)),))
    assert facts(judge(record, m.in_flight(900, holder)))["culprit"] == "GET /slow-refresh"


@pytest.mark.parametrize("request_id", [None, 12345])
def test_a_waker_that_serves_nothing_known_is_named_alone(request_id):
    record = m.served(1, 1000, lock=300, waits=(m.wait("lock", 300, waker=m.waker(request_id)),))
    assert facts(judge(record))["waker"] == "worker-3 (pid 4313, tid 4321)"
    assert "culprit" not in facts(judge(record))


def test_an_interrupt_is_not_named():
    assert "waker" not in facts(judge(m.served(1, 1000, lock=300, waits=(m.wait("lock", 300),))))


def test_a_dependency_names_the_peer_with_the_most_time():
    peers = (m.peer("10.0.0.9:6379", 20, 9), m.peer("10.0.0.5:5432", 280, 3))
    verdict = judge(m.served(1, 1000, calls=300, on_cpu=20, peers=peers))
    assert verdict.summary == "waited 300 ms for 10.0.0.5:5432 (94 %)"
    found = facts(verdict)
    assert (found["peer"], found["peer_waits"], found["other_peers"]) == ("10.0.0.5:5432", 3, 1)
    assert verdict.evidence[0].text == "waited 280.0 ms for 10.0.0.5:5432, in 3 waits"


def test_a_child_process_is_a_dependency():
    verdict = judge(m.served(1, 1000, child=300, on_cpu=20))
    assert verdict.mechanism == "dependency"
    assert facts(verdict)["peer"] == "child process"


def test_a_pipe_to_another_process_is_a_dependency():
    pipe = m.wait("other", 290, call="read", detail="anon_pipe_read")
    assert judge(m.served(1, 1000, other=300, on_cpu=20, waits=(pipe,))).mechanism == "dependency"


@pytest.mark.parametrize("detail", ["do_signal_stop", None, "pipe_read"])
def test_other_waits_stay_unknown_and_say_where(detail):
    """A pipe whose other end is in the same process is no dependency."""
    wait = m.wait("other", 300, call="read", detail=detail, waker=m.waker())
    verdict = judge(m.served(1, 1000, other=300, on_cpu=20, waits=(wait,)))
    assert (verdict.principle, verdict.mechanism) == ("unknown", None)
    assert verdict.summary == "94 % of it is blocked in the kernel, no telling why"
    assert facts(verdict)["kernel_function"] == (detail or "an unnamed kernel function")


@pytest.mark.parametrize(
    ("spent", "direction", "summary"),
    [
        ({"receive": 300}, "upload", "waited 300 ms for a slow uploader (100 %)"),
        ({"send": 300}, "download", "waited 300 ms for a slow reader (100 %)"),
    ],
)
def test_the_network_tells_uploaders_from_readers(spent, direction, summary):
    verdict = judge(m.served(1, 1000, **spent))
    assert verdict.summary == summary
    assert facts(verdict)["direction"] == direction


@pytest.mark.parametrize(
    ("busy", "host", "advice"),
    [
        ({"sleep": 100}, (), "Add threads or workers"),
        ({"calls": 100}, (), "Add threads or workers"),
        ({"on_cpu": 100}, (), "Add worker processes, not threads"),
        ({"on_cpu": 100}, m.full_host(), "More workers will not help, the CPUs are full"),
        ({"lock": 100}, (), "More workers in this process would queue at the same lock"),
    ],
)
def test_a_queue_says_what_the_workers_were_busy_with(busy, host, advice):
    [bucket] = busy
    before = [m.served(10 + n, 700 + n * 100, **busy) for n in range(3)]
    elsewhere = m.served(99, 900, disk=500, pid=9999)
    record = m.served(1, 1100, queue=400, on_cpu=20)
    verdict = judge(record, *host, *before, elsewhere)
    assert verdict.mechanism == "queue"
    assert facts(verdict)["busy_with"] == bucket
    assert verdict.advice[0].startswith(advice)
    [text] = [one.text for one in verdict.evidence if one.name == "busy_with"]
    assert "3 other requests of process 4313 spent 100 %" in text


def test_a_queue_of_which_nothing_else_is_known_is_still_a_queue():
    verdict = judge(m.served(1, 1000, queue=400))
    assert verdict.mechanism == "queue"
    assert "busy_with" not in facts(verdict)


def test_the_gil_says_what_the_others_computed():
    others = [m.served(10 + n, 950, on_cpu=100, gil=300) for n in range(4)]
    waits = (m.wait("gil", 300, waker=m.waker(10)),)
    verdict = judge(m.served(1, 1000, gil=300, on_cpu=100, run_queue=10, waits=waits), *others)
    found = facts(verdict)
    assert verdict.mechanism == "gil"
    assert (found["others_on_cpu_ms"], found["on_cpu_ms"], found["run_queue_ms"]) == (400.0, 100.0, 10.0)
    assert found["culprit"] == "GET /"


def used(at_ms, cpu_ms, pid=4313):
    return ProcessSample(m.START + at_ms * m.MS, pid, "target", cpu_ms * m.MS, 1 << 20, 8)


@pytest.mark.parametrize(
    ("samples", "advice"),
    [
        ((*m.full_host(), used(-1000, 0), used(0, 300)), "Move the busy neighbours off this host"),
        ((*m.full_host(), used(-1000, 0), used(0, 1900)), "The server itself fills the CPUs"),
        ((m.host(-1000, 0, 0), m.host(0, 400, 1600)), "Other CPUs were idle"),
        ((), "Move the busy neighbours off this host"),
    ],
)
def test_a_run_queue_says_who_has_the_cpus(samples, advice):
    verdict = judge(m.served(1, 1000, run_queue=300, on_cpu=80), *samples)
    assert verdict.mechanism == "run-queue"
    assert verdict.advice[0].startswith(advice)
    if samples:
        assert facts(verdict)["cpu_use"] == pytest.approx(0.99 if "Other" not in advice else 0.2)


def test_neighbours_are_counted_in_cpus():
    verdict = judge(m.served(1, 0, run_queue=300), *m.full_host(), used(-1000, 0), used(0, 300))
    assert facts(verdict)["others_cpus"] == 1.7
    assert facts(verdict)["runnable"] == 11


@pytest.mark.parametrize("threads", ["shared", "several"])
def test_what_is_not_served_by_one_thread_is_unknown_and_says_why(threads):
    verdict = judge(m.served(1, 1000, ms=300, queue=10, threads=threads))
    assert verdict.mechanism is None
    assert facts(verdict)["threads"] == threads
    assert verdict.summary.endswith("and could not be followed")


def test_its_queue_is_measured_all_the_same():
    assert judge(m.served(1, 1000, ms=300, queue=280, threads="shared")).mechanism == "queue"


def test_lost_waits_are_named():
    assert facts(judge(m.served(1, 1000, lock=300, waits_lost=4)))["waits_lost"] == 4
