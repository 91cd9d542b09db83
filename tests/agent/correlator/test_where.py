"""Where in the code: the place in summaries, evidence and advice, of requests, endpoints and what hangs."""

import coding as c
import making as m
import msgspec
import pytest
from judging import facts, judge, text

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.correlator.wording import at
from perfwatch.agent.model import FrameShare
from perfwatch.agent.report import correlate
from perfwatch.probes.records import decode, encode


def request_of(record, *before):
    return correlate(m.info(slow_ms=1), [*before, record])[1][-1]


def rendering(request_id=1, at_ms=0.0, ms=60.0, stacks=(c.RENDER, c.RENDER, c.RENDER_LATER, c.DUMPS), **fields):
    """A request that computes, with one reading for each stack."""
    ran = m.ran(*((at_ms - ms + 1 + number, number) for number in range(len(stacks))))
    return m.served(request_id, at_ms, on_cpu=ms, ran=ran, code=m.stacks(*stacks), **fields)


def table(*stacks):
    return {"code": m.stacks(*stacks)}


def test_work_is_told_by_function_with_the_line_that_took_most():
    request = request_of(rendering(calls=5))
    assert request.frames == (FrameShare("render", "/srv/shop/views.py", 41, pytest.approx(60 / 65, abs=1e-4), None),)
    assert request.verdict.summary == "ran 60 ms on the CPU in render() at views.py:41 (92 %)"
    assert facts(request.verdict)["place"] == "render() at views.py:41"
    assert request.verdict.advice[0] == "Make render() at views.py cheaper, or cache what it makes."


def test_what_it_was_in_the_midst_of_is_told_where_that_is_most_of_it():
    request = request_of(rendering(stacks=(c.DUMPS, c.DUMPS, c.RENDER)))
    assert request.frames[0].called == "json.dumps"
    assert text(request.verdict, "place") == "60.0 ms of it in render() at views.py:41 › json.dumps"


def test_waits_are_told_line_by_line():
    other = (c.own("Cache.get", "cache.py", 70), *c.SERVER)
    waits = (m.wait("lock", 50, stack=0), m.wait("lock", 30, stack=1), m.wait("lock", 10, stack=0))
    request = request_of(m.served(1, lock=90, on_cpu=10, waits=waits, **table(c.GET, other)))
    assert [(one.line, one.share) for one in request.frames] == [(61, 0.6), (70, 0.3)]
    assert request.verdict.summary == "waited 90 ms for a lock in Cache.get() at cache.py:61 (90 %)"


def test_a_place_that_is_not_most_of_it_is_no_headline():
    stacks = [(c.own(f"step{number}", line=number), *c.SERVER) for number in range(1, 11)]
    verdict = judge(rendering(stacks=stacks))
    assert verdict.summary == "ran 60 ms on the CPU (100 %)"
    assert facts(verdict)["one_place"] == "step1() at views.py:1"
    assert "place" not in facts(verdict)
    assert verdict.advice[0].startswith("Profile the handler")
    assert len(request_of(rendering(stacks=stacks)).frames) == 8


def test_own_code_is_told_from_libraries_and_native_code():
    verdict = judge(
        rendering(stacks=(c.HASH, c.HASH, c.HASH, c.HASH, c.HASH, c.RENDER, c.RENDER, c.DUMPS, c.SERVER[:1]))
    )
    found = facts(verdict)
    assert found["cpu_native"] == pytest.approx(5 / 9, abs=1e-3)
    assert found["cpu_own"] == pytest.approx(2 / 9, abs=1e-3)
    assert found["cpu_stdlib"] == found["cpu_library"] == pytest.approx(1 / 9, abs=1e-3)
    assert text(verdict, "cpu_native") == "56 % of its CPU time in native code, most of that in hashlib.pbkdf2_hmac"
    assert verdict.summary == "ran 60 ms on the CPU in login() at auth.py:12 › hashlib.pbkdf2_hmac (100 %)"
    assert found["readings"] == 9


@pytest.mark.parametrize(
    ("bucket", "summary"),
    [
        ("sleep", "slept 80 ms in render() at views.py:41 (100 %)"),
        ("disk", "waited 80 ms for the disk in render() at views.py:41 (100 %)"),
        ("fault", "waited 80 ms for memory in render() at views.py:41 (100 %)"),
        ("receive", "waited 80 ms for a slow uploader in render() at views.py:41 (100 %)"),
        ("send", "waited 80 ms for a slow reader in render() at views.py:41 (100 %)"),
        ("calls", "waited 80 ms for another process in render() at views.py:41 (100 %)"),
        ("child", "waited 80 ms for child process in render() at views.py:41 (100 %)"),
        ("lock", "waited 80 ms for a lock in render() at views.py:41 (100 %)"),
        ("gil", "waited 80 ms for the GIL (100 %)"),
    ],
)
def test_each_wait_says_where_if_that_tells_something(bucket, summary):
    waits = (m.wait(bucket, 80, stack=0),)
    verdict = judge(m.served(1, waits=waits, **{bucket: 80}, **table(c.RENDER)))
    assert verdict.summary == summary
    assert facts(verdict)["place"] == "render() at views.py:41"
    assert 1 <= len(verdict.advice) <= 3


def test_where_it_had_no_cpu_says_nothing_of_the_cause():
    waits = (m.wait("run_queue", 0, runnable_ns=80 * m.MS, stack=0),)
    request = request_of(m.served(1, run_queue=80, waits=waits, **table(c.RENDER)))
    assert request.frames == ()
    assert request.stacks[0].frames == c.RENDER
    assert "place" not in facts(request.verdict)


def test_a_wait_in_a_pipe_says_where():
    pipe = m.wait("other", 290, call="read", detail="pipe_read", stack=0)
    verdict = judge(m.served(1, other=300, waits=(pipe,), **table(c.RENDER)))
    assert verdict.mechanism == "dependency"
    assert facts(verdict)["place"] == "render() at views.py:41"


@pytest.mark.parametrize(
    ("function", "file", "line", "told"),
    [
        ("Cache.get", "/srv/shop/cache.py", 61, "Cache.get() at cache.py:61"),
        ("create_app.<locals>.login", "/srv/shop/auth.py", 9, "login() at auth.py:9"),
        ("<lambda>", "/srv/shop/auth.py", 9, "<lambda> at auth.py:9"),
        ("<module>", "/srv/shop/__init__.py", 0, "<module> at shop/__init__.py"),
        ("hashlib.sha256", "", 0, "hashlib.sha256"),
        ("f" * 256, "/" + "g" * 250, 1, "f" * 39 + "…() at " + "g" * 31 + "…:1"),
        ("", "", 0, ""),
    ],
)
def test_a_place_is_told_in_few_words(function, file, line, told):
    assert at(function, file, line) == told


# --- many requests


def test_an_endpoint_is_told_by_the_place_of_all_its_requests():
    records = [
        rendering(number, number, 600, stacks=[(c.RENDER, c.RENDER_LATER)[number % 3 == 0]]) for number in range(9)
    ]
    [endpoint] = correlate(m.info(), records)[0].endpoints
    assert endpoint.frames == (FrameShare("render", "/srv/shop/views.py", 41, 1.0, None),)
    assert endpoint.verdict.summary == (
        "GET / is slow (p95 600 ms): 100 % of it is its own code on the CPU in render() at views.py:41"
    )
    assert [(one.frames[0].line, one.spent_ns // m.MS) for one in endpoint.stacks] == [(41, 3600), (43, 1800)]
    assert endpoint.verdict.advice[0].startswith("Make render() at views.py cheaper")


def test_an_endpoint_that_is_always_slow_has_the_stacks_of_all():
    records = [rendering(number, number, 30 + number) for number in range(20)]
    [endpoint] = correlate(m.info(), records)[0].endpoints
    assert endpoint.judged_count == 20
    assert sum(one.spent_ns for one in endpoint.stacks) == sum(
        record.ended_ns - record.arrived_ns for record in records
    )


def test_a_correction_takes_the_stacks_of_the_earlier_record_back():
    first = rendering(1, 0, 600, stacks=(c.HASH,))
    other = rendering(2, 1, 600, stacks=(c.RENDER,))
    final = rendering(1, 50, 700, stacks=(c.DUMPS,))
    view, _ = correlate(m.info(), [first, other, final])
    assert {(one.frames, one.spent_ns // m.MS) for one in view.endpoints[0].stacks} == {(c.RENDER, 600), (c.DUMPS, 700)}


def test_what_hangs_says_where():
    stuck = [m.opened(n, 3000, 5000, stack=c.GET) for n in range(4)]
    view, _ = correlate(m.info(), [m.in_flight(5000, *stuck)])
    assert view.verdict.summary == (
        "4 requests in flight, the oldest GET /stuck for 3.00 s: "
        "100 % of it waits for a lock in Cache.get() at cache.py:61"
    )


def test_what_runs_on_and_on_says_where():
    view, _ = correlate(m.info(), [m.in_flight(5000, m.opened(1, 3000, 5000, "on_cpu", call=None, stack=c.DUMPS))])
    assert view.verdict.summary.endswith(
        "100 % of it is its own code on the CPU in render() at views.py:41 › json.dumps"
    )


def test_a_request_without_a_verdict_on_its_cause_points_nowhere():
    request = request_of(rendering(lock=60, calls=60))
    assert request.verdict.principle == "unknown"
    assert request.frames == ()
    assert sum(one.spent_ns for one in request.stacks) == request.ledger.total_ns


def test_requests_that_are_not_judged_have_no_stacks():
    view, judged = correlate(m.info(), [rendering(number, number, 5) for number in range(9)])
    assert judged == []
    assert view.endpoints[0].stacks == view.endpoints[0].frames == ()


def test_what_is_kept_of_an_ended_request_has_no_stacks():
    """They are large. Where those stood that it waited for at a lock, those behind it in line ask for."""
    waits = (
        m.wait("lock", 9, stack=0, waker=m.waker(), waker_stack=7),
        m.wait("lock", 40, stack=0, waker=m.waker(), waker_stack=1),
        m.wait("lock", 1, stack=0),
        m.wait("calls", 30, stack=0, waker=m.waker(), waker_stack=1),
    )
    correlator = Correlator(m.info())
    correlator.feed(
        m.served(1, lock=50, calls=30, on_cpu=9, waits=waits, ran=m.ran((-3, 0)), code=m.stacks(c.GET, c.REFRESH))
    )
    kept = correlator._traffic.find(1)
    assert kept.ran == ()
    assert kept.code.frames == (c.REFRESH[0],)
    assert [(wait.bucket, wait.stack, wait.waker_stack) for wait in kept.waits] == [
        ("lock", None, None),
        ("lock", None, 0),
        ("lock", None, None),
        ("calls", None, None),
    ]
    correlator.feed(rendering(2))
    assert correlator._traffic.find(2).code.stacks == ()


def stream():
    """Everything that a session has of code, in order of time."""
    stacks = m.stacks(c.RENDER, c.GET, c.REFRESH)
    records = [rendering(number, number * 50, 40 + number) for number in range(1, 30)]
    records += [
        m.served(
            100 + n,
            n * 50 + 7,
            lock=300,
            waits=(m.wait("lock", 300, stack=0, waker=m.waker(), waker_stack=1),),
            **table(c.GET, c.REFRESH),
        )
        for n in range(1, 30)
    ]
    records += [m.served(200 + n, n * 50 + 9, gil=90, on_cpu=20, fidelity="sampled") for n in range(1, 30)]
    records += [c.pause(n * 20, 5, tid=4313 + n % 2) for n in range(60)]
    records += [c.python(n * 1000, readings=n * 50, held=((4321, n * 40),), handoffs=n * 90) for n in range(2)]
    for n in range(40):
        samples = ((n * 40 + 3, 4313, 0, False), (n * 40 + 9, 4313, 1, False), (n * 40 + 10, 4321, 2, True))
        records.append(c.sighted(n * 40 + 11, *samples, stacks=stacks))
    return sorted(records, key=lambda one: one.at_ns)


def test_the_same_records_give_the_same_stacks_live_and_replayed():
    records = stream()
    view, judged = correlate(m.info(), records)
    assert any(one.frames for request in judged for one in request.stacks)
    again = correlate(m.info(), [decode(encode(record)) for record in records])
    assert again == (view, judged)
    looked_at = Correlator(m.info())
    seen = []
    for record in records:
        seen += looked_at.feed(record)
        looked_at.view()
    assert (looked_at.view(), seen) == (view, judged)


def test_hostile_names_are_cut_where_they_are_said():
    long = msgspec.structs.replace(c.own("x" * 100_000), file="/" + "y" * 100_000)
    verdict = judge(rendering(stacks=[(long,), (c.native("z" * 100_000), long)]))
    said = [verdict.summary, *verdict.advice, *(one.text for one in verdict.evidence)]
    assert max(map(len, said)) < 300
