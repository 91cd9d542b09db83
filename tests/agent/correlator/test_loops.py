"""Waits for the event loop: who kept it and how; and the one that kept it, which says so itself."""

import coding as c
import looped as lo
import making as m
import msgspec
import pytest
from judging import facts, judge, text

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.correlator.loops import Held, Loops
from perfwatch.agent.report import correlate

NAP, CRUNCH = 0, 1
CODE = m.stacks(lo.NAP, lo.CRUNCH)


def napper(number, at_ms, ms=60, **fields):
    """A request that slept on the loop's thread, for the last `ms` before its end."""
    wait = m.wait("sleep", ms, call="clock_nanosleep", stack=NAP, started_ns=c.at(at_ms - ms))
    made = {"sleep": ms, "on_cpu": 1, "waits": (wait,), "code": CODE, "target": "/block"}
    return lo.followed(number, at_ms, **(made | fields))


def cruncher(number, at_ms, ms=60, **fields):
    """A request that computed for the last `ms` before its end."""
    ran = m.ran(*((at_ms - ms + step, CRUNCH) for step in range(5, ms, 10)))
    return lo.followed(number, at_ms, **({"on_cpu": ms, "ran": ran, "code": CODE, "target": "/crunch"} | fields))


def test_a_victim_names_who_kept_its_loop_and_what_it_did():
    verdict = judge(lo.victim(1, 58, 9, from_ms=-60), napper(9, -1))
    assert (verdict.mechanism, verdict.principle) == ("event-loop", "concurrency")
    kept = "kept by GET /block in nap() at app.py:12 (97 %), because it slept"
    assert verdict.summary == f"waited 58 ms for its event loop, {kept}"
    assert [one.text for one in verdict.evidence] == [
        "its event loop ran other work for 58.0 ms, while it could have run, in 1 wait of 1 ms or more",
        "GET /block kept it for 58.0 ms (100 % of it), up to 58.0 ms at a stretch",
        "which meanwhile was sleeping (time.sleep)",
        "in nap() at app.py:12",
    ]
    assert verdict.advice[0] == (
        "Replace time.sleep() in nap() at app.py:12 by `await asyncio.sleep()`: it stops the whole loop."
    )


def test_what_it_did_is_what_it_did_meanwhile():
    """Before, it slept for longer; while it kept this one waiting, it computed."""
    wait = m.wait("sleep", 500, call="clock_nanosleep", stack=NAP, started_ns=c.at(-700))
    keeper = lo.followed(
        9, -10, sleep=500, on_cpu=80, waits=(wait,), ran=m.ran((-80, CRUNCH), (-40, CRUNCH)), code=CODE, target="/both"
    )
    verdict = judge(lo.victim(1, 70, 9, from_ms=-85), keeper)
    assert facts(verdict)["kept_by"] == "on_cpu"
    assert facts(verdict)["kept_in"] == "crunch() at app.py:30"
    assert verdict.advice[0].startswith("Take the computing in crunch() at app.py:30 off the loop")


@pytest.mark.parametrize(
    ("bucket", "call", "advice"),
    [
        ("calls", "recvfrom", "Use an asynchronous client in nap() at app.py:12"),
        ("disk", "fsync", "Hand the file's input and output in nap()"),
        ("lock", "futex", "Use asyncio.Lock in nap()"),
        ("child", "wait4", "Wait for the child process in nap()"),
    ],
)
def test_what_to_do_depends_on_what_blocks(bucket, call, advice):
    wait = m.wait(bucket, 60, call=call, stack=NAP, started_ns=c.at(-61))
    keeper = lo.followed(9, -1, on_cpu=1, waits=(wait,), code=CODE, target="/block", **{bucket: 60})
    assert judge(lo.victim(1, 58, 9, from_ms=-60), keeper).advice[0].startswith(advice)


def test_many_requests_of_one_endpoint_keep_it_together():
    keepers = [cruncher(10 + number, -200 + number * 40, ms=30) for number in range(4)]
    culprits = tuple(lo.culprit(10 + number, 30, f"/crunch/{number}") for number in range(4))
    waits = tuple(lo.kept(30, 10 + number, from_ms=-231 + number * 40) for number in range(4))
    one_more = lo.culprit(99, 20, "/other")
    keepers = [msgspec.structs.replace(one, target=f"/crunch/{one.id}") for one in keepers]
    record = lo.followed(1, 0, loop=140, on_cpu=2, culprits=(*culprits, one_more), waits=waits)
    verdict = judge(record, *keepers)
    assert text(verdict, "keeper") == (
        "GET /crunch/{} kept it for 120.0 ms (86 % of it), in 4 requests, up to 30.0 ms at a stretch"
    )
    assert facts(verdict)["other_keeper"] == "GET /other"


def test_of_many_the_one_that_is_most_of_it_makes_the_headline():
    culprits = tuple(lo.culprit(10 + number, 20, f"/way{'abcde'[number]}") for number in range(5))
    record = lo.followed(1, 0, loop=100, on_cpu=2, culprits=culprits)
    verdict = judge(record)
    assert verdict.summary == "waited 100 ms for its event loop (98 %)"
    assert facts(verdict)["one_keeper"] == "GET /waya"
    assert verdict.advice[0].startswith("Find what GET /waya does between two awaits")


def test_work_that_serves_no_request_is_named_as_that():
    verdict = judge(lo.victim(1, 58, None, culprits=(lo.culprit(None, 58, None, None),)))
    assert facts(verdict)["keeper"] == "work that serves no request"


def test_computing_beside_the_loop_is_one_cause_with_it():
    """Of two that compute on one loop each waits for half of the time."""
    assert judge(lo.victim(1, 52, 9, on_cpu=48)).mechanism == "event-loop"


def test_what_shares_its_thread_and_was_not_followed_is_unknown():
    record = m.served(1, 0, ms=300, queue=2, threads="shared")
    assert judge(record).summary == "it shared its thread with others, and could not be followed"


# --- a culprit that is told after its victims


def late(*records):
    return correlate(m.info(), [*records])[0]


def test_a_culprit_that_ends_after_its_victims_is_known_to_their_endpoint():
    victims = [lo.victim(number, 60, 99, from_ms=-70, at_ms=number) for number in range(1, 9)]
    stopped = m.wait("sleep", 60, call="clock_nanosleep", stack=NAP, started_ns=c.at(-70))
    keeper = lo.followed(99, 600, sleep=60, calls=600, waits=(stopped,), code=CODE, target="/block", ms=700)
    before = late(*victims)
    assert before.verdict.summary.endswith("97 % of it waits for its event loop, kept by GET /block")
    after = late(*victims, keeper)
    verdict = next(one.verdict for one in after.endpoints if one.route == "/fast")
    kept = "97 % of it waits for its event loop, kept by GET /block in nap() at app.py:12, because it sleeps"
    assert verdict.summary.endswith(kept)
    assert verdict.advice[0].startswith("Replace time.sleep() in nap() at app.py:12 by `await")


def test_a_view_between_them_does_not_freeze_the_verdict():
    correlator = Correlator(m.info())
    for number in range(1, 9):
        correlator.feed(lo.victim(number, 60, 99, from_ms=-70, at_ms=number))
    assert "nap" not in correlator.view().verdict.summary
    stopped = m.wait("sleep", 60, call="clock_nanosleep", stack=NAP, started_ns=c.at(-70))
    correlator.feed(lo.followed(99, 600, sleep=60, calls=600, waits=(stopped,), code=CODE, target="/block", ms=700))
    fast = next(one for one in correlator.view().endpoints if one.route == "/fast")
    assert "nap() at app.py:12" in fast.verdict.summary


# --- the culprit itself


def test_the_culprit_is_what_it_did_and_says_whom_it_held_up():
    victims = [lo.victim(number, 58, 9, from_ms=-60, at_ms=0) for number in range(20, 25)]
    verdict = judge(napper(9, 100, ms=160), *victims)
    assert (verdict.mechanism, verdict.principle) == ("sleep", "efficiency")
    assert verdict.summary == "slept 160 ms in nap() at app.py:12 (99 %)"
    assert text(verdict, "held_up_ms") == (
        "this stopped the event loop for others: 5 waits for it, 290.0 ms in all, up to 58.0 ms at a stretch"
    )
    assert verdict.advice[0].startswith("Replace time.sleep() in nap() at app.py:12 by")


def test_its_own_stack_tells_before_anybody_suffers():
    verdict = judge(napper(9, 0, ms=160))
    assert facts(verdict)["blocks"] == "event loop"
    assert verdict.advice[0].startswith("Replace time.sleep()")


@pytest.mark.parametrize(
    ("stack", "call"),
    [
        pytest.param((c.own("nap", "app.py", 12), *lo.WORKER), "clock_nanosleep", id="in a worker thread"),
        pytest.param((c.own("nap", "app.py", 12),), "clock_nanosleep", id="where the stack is cut off"),
        pytest.param(lo.TIMER, None, id="suspended: the loop goes on"),
    ],
)
def test_a_sleep_that_stops_no_loop(stack, call):
    wait = m.wait("sleep", 160, call=call, stack=0, started_ns=c.at(-161))
    verdict = judge(lo.followed(9, 0, sleep=160, waits=(wait,), code=m.stacks(stack)))
    assert verdict.mechanism == "sleep"
    assert not {"blocks", "held_up_ms"} & set(facts(verdict))
    assert verdict.advice[0].startswith("Remove the sleep")


def test_its_endpoint_says_what_became_known_later():
    """Each culprit is told before its victims."""
    records = []
    for number in range(1, 9):
        records.append(napper(number, number * 100))
        records += [
            lo.victim(number * 100 + k, 55, number, from_ms=number * 100 - 56, at_ms=number * 100 + 2) for k in range(3)
        ]
    view = late(*records)
    verdict = next(one.verdict for one in view.endpoints if one.route == "/block")
    assert verdict.mechanism == "sleep"
    assert text(verdict, "held_up_ms") == (
        "this stopped the event loop for others: 24 waits for it, 1320.0 ms in all, up to 55.0 ms at a stretch"
    )
    victims = next(one.verdict for one in view.endpoints if one.route == "/fast")
    assert victims.mechanism == "event-loop"
    assert ", kept by GET /block in nap() at app.py:12" in victims.summary


def test_blocking_on_cpu_is_told_by_its_victims():
    victims = [lo.victim(number, 58, 9, from_ms=-60, at_ms=0) for number in range(20, 25)]
    verdict = judge(cruncher(9, 100, ms=200), *victims)
    assert verdict.mechanism == "cpu"
    assert facts(verdict)["held_up_ms"] == 290.0
    assert verdict.advice[0].startswith("Take the computing in crunch() at app.py:30 off the loop")


def test_a_loop_whose_thread_has_no_cpu_is_told_from_one_that_computes():
    ready = m.wait("run_queue", 0, runnable_ns=70 * m.MS, call=None, started_ns=c.at(-75))
    keeper = lo.followed(9, -1, on_cpu=5, run_queue=70, waits=(ready,), target="/block")
    verdict = judge(lo.victim(1, 70, 9, from_ms=-75), keeper)
    assert facts(verdict)["kept_by"] == "run_queue"
    assert verdict.advice[0].startswith("The loop's thread was ready and had no CPU")


def test_short_stretches_beside_what_takes_its_time_are_not_worth_a_word():
    victims = [lo.victim(number, 10, 9, from_ms=-60, at_ms=0) for number in range(20, 25)]
    assert "held_up_ms" not in facts(judge(cruncher(9, 100, ms=10, calls=900), *victims))


def test_who_held_up_others_with_something_else_gets_no_advice_for_it():
    """It kept the loop for 58 ms by computing, and took long because of a service."""
    victims = [lo.victim(20, 58, 9, from_ms=-60, at_ms=0)]
    keeper = cruncher(9, 100, ms=200, calls=900)
    verdict = judge(keeper, *victims)
    assert verdict.mechanism == "dependency"
    assert text(verdict, "held_up_ms").startswith("beside that it stopped the event loop for others: 1 wait")
    assert not verdict.advice[0].startswith("Take the computing")


# --- bounds, and replays


def test_the_memory_of_loops_is_bounded():
    """10,000 culprits and as many endpoints."""
    loops = Loops()
    for number in range(10_000):
        loops.served(napper(number, number), ("GET", f"/{number}"))
        loops.served(lo.victim(10_000 + number, 58, number), ("GET", "/fast"))
    assert len(loops) <= 2 * 4096
    assert loops.held_up(9_999) == Held(1, 58 * m.MS, 58 * m.MS)
    assert loops.held_up(0) == Held()


def test_a_correction_counts_a_culprit_once():
    correlator = Correlator(m.info())
    record = lo.victim(1, 58, 9)
    correlator.feed(record)
    correlator.feed(msgspec.structs.replace(record, ended_ns=record.ended_ns + m.MS))
    assert correlator._traffic.loops.held_up(9) == Held(1, 58 * m.MS, 58 * m.MS)


def test_the_same_is_seen_live_and_in_a_replay():
    records = [napper(9, -1), *(lo.victim(n, 58, 9, from_ms=-60, at_ms=n) for n in range(10, 18)), cruncher(30, 60)]
    once = correlate(m.info(), records)
    coded = [msgspec.json.decode(msgspec.json.encode(one), type=type(one)) for one in records]
    assert correlate(m.info(), coded) == once
