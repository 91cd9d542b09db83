"""The mechanism `gc`: the collector's part of the CPU time, what is said of it, and whom else it held up."""

import around as a
import coding as c
import making as m
import msgspec
import pytest
from judging import facts, judge, text

from perfwatch.agent.correlator.collecting import overlap_ns
from perfwatch.agent.report import correlate


def collecting(ms=300, gc_ms=210, **fields):
    return m.served(1, 0, on_cpu=ms, gc_ns=round(gc_ms * m.MS), **fields)


def test_cpu_time_that_is_mostly_collection_is_gc():
    verdict = judge(collecting())
    assert (verdict.principle, verdict.mechanism) == ("efficiency", "gc")
    assert verdict.summary == "collected garbage for 210 ms (70 %)"
    assert verdict.share == 0.7
    assert ("cpu", "also cpu 30 %") in [(one.value, one.text) for one in verdict.evidence]
    assert verdict.advice[0].startswith("Call gc.freeze() once the application is loaded")


def test_the_rest_of_the_cpu_time_is_own_code():
    verdict = judge(collecting(gc_ms=60))
    assert verdict.mechanism == "cpu"
    assert facts(verdict)["on_cpu_ms"] == 240.0
    assert verdict.share == 0.8


def test_an_endpoint_whose_cpu_time_is_half_collection_is_efficiency():
    """Neither is half of it: the larger one stands for the principle."""
    verdict = judge(collecting(gc_ms=160, calls=60))
    assert verdict.mechanism == "gc"


def test_contended_collection_is_no_rival_to_the_gil():
    assert judge(m.served(1, gil=50, on_cpu=50, gc_ns=50 * m.MS)).mechanism == "gil"


@pytest.mark.parametrize("claimed_ms", [500, 10**9, -5])
def test_no_more_is_collected_than_ran(claimed_ms):
    verdict = judge(collecting(gc_ms=claimed_ms))
    assert verdict.mechanism == ("cpu" if claimed_ms < 0 else "gc")
    assert verdict.share == 1.0


def test_its_runs_are_told_by_generation_with_the_longest():
    pauses = (c.pause(-250, 180), c.pause(-60, 20, generation=0), c.pause(-30, 10, generation=0))
    verdict = judge(collecting(), *pauses, c.pause(-20, 15, tid=99), c.pause(-500, 100))
    found = facts(verdict)
    assert (found["gc_runs"], found["gc_longest_ms"]) == (3, 180.0)
    assert text(verdict, "gc_runs") == "in 3 runs: 2 of generation 0, 1 of generation 2"
    assert text(verdict, "gc_longest_ms") == (
        "the longest pause was 180.0 ms, of generation 2: it walks every object that the collector knows"
    )


def gc_ms_of(record, *before):
    [request] = correlate(m.info(slow_ms=1), [*before, record])[1]
    return sum(one.spent_ns for one in request.stacks if one.is_gc) / m.MS


@pytest.mark.parametrize(
    ("pauses", "gc_ms"),
    [
        pytest.param([c.pause(-220, 160)], 80, id="what it waited in a pause it did not run"),
        pytest.param([c.pause(-50, 9, cpu_ms=4)], 4, id="a pause may say what it ran"),
        pytest.param([c.pause(-10, 40, cpu_ms=40)], 10, id="of one that goes on only what lies in the request"),
        pytest.param([c.pause(-320, 30)], 10, id="nor what lies before it"),
        pytest.param([c.pause(-220, 160, tid=99)], 0, id="on another thread"),
        pytest.param([c.pause(-220, 160, pid=99)], 0, id="in another process"),
        pytest.param([c.pause(-300, 300)], 150, id="no more than it ran"),
    ],
)
def test_where_the_ledger_does_not_count_it_its_pauses_are_laid_over_the_request(pauses, gc_ms):
    waits = (m.wait("gil", 40, started_ns=c.at(-200)), m.wait("calls", 40, started_ns=c.at(-100)))
    assert gc_ms_of(m.served(1, 0, on_cpu=150, gil=40, calls=110, waits=waits), *pauses) == gc_ms


def test_polled_pauses_are_estimates_and_less_sure():
    record = m.served(1, 0, on_cpu=300)
    exact, polled = (judge(record, c.pause(-250, 240, source=source)) for source in ("watchpoint", "polled"))
    assert exact.mechanism == polled.mechanism == "gc"
    assert polled.confidence == pytest.approx(exact.confidence * 0.7, abs=1e-3)
    assert facts(polled)["gc_source"] == "polled"
    assert "for about 240.0 ms" in text(polled, "gc_ms")
    assert "gc_source" not in facts(exact)


def test_an_endpoint_of_polled_pauses_is_less_sure_too():
    def confidence(source):
        records = []
        for number in range(5):
            records += [c.pause(number * 1000 - 500, 480, source=source), m.served(number, number * 1000, on_cpu=600)]
        return correlate(m.info(), records)[0].verdict.confidence

    assert confidence("polled") == pytest.approx(confidence("probe") * 0.7, abs=1e-3)


def test_a_thread_that_is_not_the_requests_own_collects_for_nobody():
    assert judge(m.served(1, 0, on_cpu=300, threads="one"), c.pause(-250, 240, tid=99)).mechanism == "cpu"


def around_it(collections=(40, 4, 2), collected=30, **fields):
    return c.python(-1000), c.python(0, collections=collections, collected=collected, **fields)


def test_its_settings_and_what_it_found_are_told():
    verdict = judge(collecting(), *around_it())
    assert facts(verdict)["gc_thresholds"] == "700, 10, 10"
    assert text(verdict, "gc_collected") == "2 runs freed 30 objects"
    assert "gc_runs_at" not in facts(verdict)


def test_what_its_own_runs_freed_stands_before_what_its_process_counted():
    pauses = [msgspec.structs.replace(c.pause(-250 + n * 100, 80), collected=n * 5) for n in range(2)]
    assert text(judge(collecting(), *around_it(), *pauses), "gc_collected") == "2 runs freed 5 objects"


def test_a_collector_that_finds_much_is_answered_by_breaking_cycles():
    verdict = judge(collecting(), *around_it(collected=50_000))
    assert verdict.advice[0].startswith("Break the reference cycles")


def test_since_3_12_the_place_is_where_it_ran():
    record, pause = collecting(ran=m.ran((-240, 0)), code=m.stacks(c.RENDER)), c.pause(-250, 210)
    verdict = judge(record, pause, *around_it(version="3.12.1"))
    assert facts(verdict)["place"] == "render() at views.py:41"
    assert facts(verdict)["gc_runs_at"] == "3.12"
    assert "gc_runs_at" not in facts(judge(collecting(), pause, *around_it(version="3.12.1")))
    assert "gc_runs_at" not in facts(judge(record, pause, *around_it(version="3.11.7")))
    assert "gc_runs_at" not in facts(judge(record, pause, *around_it(version="x.y")))


def test_an_explicit_collection_is_to_be_removed():
    stack = (c.native("gc.collect"), c.own("cleanup", "jobs.py", 77), *c.SERVER)
    record = collecting(ran=m.ran((-240, 0), (-140, 1)), code=m.stacks(stack, c.RENDER))
    verdict = judge(record, c.pause(-250, 100))
    assert verdict.summary == "collected garbage for 210 ms in cleanup() at jobs.py:77 (70 %)"
    assert (
        verdict.advice[0] == "Remove the gc.collect() in cleanup() at jobs.py:77: it walks all objects that are alive."
    )
    assert len(verdict.advice) == 3


def test_the_heap_is_told_with_its_growth():
    before = a.process_memory(-50_000, 0, rss=100 << 20)
    after = a.process_memory(0, 0, rss=400 << 20)
    verdict = judge(collecting(), before, after)
    assert text(verdict, "rss_bytes") == "its process holds 419 MB of memory, 315 MB more than a minute before"


def test_requests_that_waited_for_the_gil_meanwhile_are_counted():
    held = [
        m.served(10 + n, -5, gil=80, waits=(m.wait("gil", 80, started_ns=c.at(-90)),), tid=5000 + n) for n in range(3)
    ]
    elsewhere = m.served(20, -5, gil=80, waits=(m.wait("gil", 80, started_ns=c.at(-90)),), pid=99)
    verdict = judge(collecting(), *held, elsewhere, c.pause(-100, 60))
    assert text(verdict, "gc_held_up") == "meanwhile 3 other requests waited 150.0 ms for the GIL, which it kept"


@pytest.mark.parametrize(
    ("some", "others", "overlap"),
    [
        ([], [(0, 9)], 0),
        ([(0, 10), (20, 30)], [(5, 25)], 10),
        ([(0, 100)], [(10, 20), (30, 40), (90, 200)], 30),
        ([(0, 10)], [(10, 20)], 0),
    ],
)
def test_overlaps(some, others, overlap):
    assert overlap_ns(some, others) == overlap_ns(others, some) == overlap
