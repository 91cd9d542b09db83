"""Blame follows the chain: who held what was waited for, what it did meanwhile, and who held that."""

import around
import coding as c
import looped as lo
import making as m
import msgspec
import pytest
import two_ends as ends
from judging import judge

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.report import correlate
from perfwatch.probes.records import ThreadWait, Waker

PG = "10.0.0.5:5432"
GET, REFRESH, EXPIRE = range(3)
CODE = m.stacks(c.GET, c.REFRESH, (c.own("expire", "cache.py", 120), *c.SERVER))


def lock(from_ms, ms, holder, *, at="0x7f02", place=REFRESH):
    """A wait for a lock that began `from_ms` after the start."""
    return m.wait("lock", ms, started_ns=c.at(from_ms), detail=at, stack=GET, waker=holder, waker_stack=place)


def asked(from_ms, ms, peer=PG):
    return m.wait("calls", ms, started_ns=c.at(from_ms), call="recvfrom", peer=peer)


def slept(from_ms, ms):
    return m.wait("sleep", ms, started_ns=c.at(from_ms), call="clock_nanosleep")


def by(request, tid=4321, name="worker-3"):
    return Waker(4313, tid, name, request)


def victim(*waits, request=1, at_ms=0, **fields):
    """A request that ended `at_ms` after the start, and waited 400 ms for a lock: -405 to -5, unless told otherwise."""
    waits = waits or (lock(-405, 400, by(7)),)
    total = sum(one.blocked_ns for one in waits) / m.MS
    return m.served(request, at_ms, lock=total, on_cpu=10, waits=waits, code=CODE, **fields)


def holder(*waits, request=7, at_ms=-2, ms=450, tid=4321, target="/refresh/3", **fields):
    """A request of so many ms; what its waits do not take, it computes."""
    spent = {}
    for one in waits:
        spent[one.bucket] = spent.get(one.bucket, 0) + one.blocked_ns / m.MS
    spent["on_cpu"] = ms - sum(spent.values())
    return m.served(request, at_ms, waits=waits, code=CODE, tid=tid, target=target, **spent, **fields)


def told(chain):
    return [(one.kind, one.name, one.mechanism, round(one.share, 2)) for one in chain]


def test_a_lock_over_a_query_is_the_query_s_fault():
    verdict = judge(victim(), holder(asked(-400, 390)))
    assert verdict.mechanism == "lock"
    assert told(verdict.chain) == [("request", "GET /refresh/3", "dependency", 0.95), ("peer", PG, None, 0.95)]
    assert verdict.chain[0].frame.function == "refresh_cache"
    assert (verdict.chain[0].request, verdict.chain[0].pid, verdict.chain[0].tid) == (7, 4313, 4321)
    assert verdict.summary == (
        "waited 400 ms for a lock held by refresh_cache() at cache.py:88 (98 %), because it waited for 10.0.0.5:5432"
    )


def test_the_protocol_of_the_peer_is_told():
    call = lo.call(-400, 390, peer=PG, protocol="postgresql")
    verdict = judge(victim(), msgspec.structs.replace(holder(asked(-400, 390)), calls=(call,)))
    assert verdict.summary.endswith("because it waited for postgresql 10.0.0.5:5432")


def test_a_holder_of_a_holder_is_followed_to_the_end():
    first = holder(lock(-400, 380, by(8, 4400), at="0x7f99", place=EXPIRE))
    second = holder(slept(-395, 370), request=8, tid=4400, target="/expire", at_ms=-10)
    verdict = judge(victim(), first, second)
    assert told(verdict.chain) == [
        ("request", "GET /refresh/3", "lock", 0.93),
        ("request", "GET /expire", "sleep", 0.9),
    ]
    assert verdict.summary.endswith(
        "held by refresh_cache() at cache.py:88 (98 %), "
        "because it waited for a lock held by GET /expire in expire() at cache.py:120, which slept"
    )


def test_what_a_holder_did_at_another_time_is_not_blamed():
    """It slept for 380 ms, before the victim waited for it; while that waited it computed."""
    verdict = judge(victim(), holder(slept(-840, 380), ms=840))
    assert told(verdict.chain) == [("request", "GET /refresh/3", "cpu", 0.98)]


def test_sums_are_blamed_only_as_far_as_they_must_lie_there():
    """It computed 300 of 850 ms, and what the rest of that was, and when, is not known."""
    spent = {"on_cpu": 300, "other": 550}
    verdict = judge(victim(), m.served(7, -2, tid=4321, target="/refresh/3", **spent))
    assert told(verdict.chain) == [("request", "GET /refresh/3", None, 0.98)]


def test_a_ring_of_holders_is_cut():
    first = holder(lock(-400, 390, by(8, 4400), at="0x7f99"))
    second = holder(lock(-400, 380, by(7, 4321), at="0x7f98"), request=8, tid=4400)
    chain = judge(victim(), first, second).chain
    assert [one.request for one in chain] == [7, 8]


def test_a_chain_has_eight_links_at_most():
    holders = [
        holder(lock(-400 + n, 390 - n, by(8 + n, 4400 + n), at=hex(n + 1)), request=7 + n, tid=4399 + n, target=f"/{n}")
        for n in range(12)
    ]
    assert len(judge(victim(lock(-405, 400, by(7, 4399))), *holders).chain) == 8


def test_a_thread_outside_of_any_request_is_told_by_readings_of_its_stack():
    sleeping = (c.native("time.sleep"), *c.REFRESH)
    seen = c.sighted(-1, *((-400 + 20 * n, 4321, 0, False) for n in range(19)), stacks=m.stacks(sleeping))
    verdict = judge(victim(lock(-405, 400, by(None))), c.python(-500), seen)
    assert told(verdict.chain) == [("thread", "refresher (tid 4321)", "sleep", 0.98)]
    assert verdict.summary.endswith("held by refresh_cache() at cache.py:88 (98 %), because it slept")
    few = c.sighted(-1, (-400, 4321, 0, False), (-390, 4321, 0, False), stacks=m.stacks(sleeping))
    assert judge(victim(lock(-405, 400, by(None))), c.python(-500), few).chain[0].mechanism is None


def outside(wait, frames=(), tid=4321):
    """A wait of a thread that serves no request."""
    return ThreadWait(wait.started_ns + wait.blocked_ns, 4313, tid, wait, m.stacks(frames))


def test_a_thread_outside_of_any_request_is_followed_by_its_waits():
    """It waited for another one, which asked a service."""
    waiting = m.wait("lock", 380, started_ns=c.at(-398), detail="0x7f99", waker=by(None, 4400), waker_stack=0)
    first = outside(waiting, (c.own("poll", "feed.py", 12),))
    second = outside(asked(-396, 370), tid=4400)
    verdict = judge(victim(lock(-405, 400, by(None))), c.python(-500), first, second)
    assert told(verdict.chain) == [
        ("thread", "refresher (tid 4321)", "lock", 0.93),
        ("thread", "worker-3 (tid 4400)", "dependency", 0.9),
        ("peer", PG, None, 0.9),
    ]
    assert verdict.summary.endswith(
        "held by refresh_cache() at cache.py:88 (98 %), because it waited for a lock held by "
        "worker-3 (tid 4400) in poll() at feed.py:12, which waited for 10.0.0.5:5432"
    )


@pytest.mark.parametrize("is_late", [False, True])
def test_a_holder_that_ends_after_its_victim_is_followed_when_it_comes(is_late):
    correlator = Correlator(m.info(slow_ms=1))
    late = holder(asked(-400, 390), at_ms=50, ms=500)
    [alone] = correlator.feed(victim())
    assert told(alone.verdict.chain) == [("thread", "worker-3 (tid 4321)", None, 0.98)]
    if is_late:
        correlator.feed(m.served(90, 10, ms=5))
    anew = {one.record.id: one for one in correlator.feed(late)}
    assert told(anew[1].verdict.chain)[1] == ("peer", PG, None, 0.95)
    view = correlator.view()
    assert next(one for one in view.requests if one.record.id == 1) == anew[1]
    endpoint = next(one for one in view.endpoints if one.route == "/")
    assert [one.name for one in endpoint.verdict.chain] == ["GET /refresh/{}", PG]
    assert endpoint.verdict.summary.endswith("because it waits for 10.0.0.5:5432")
    assert all(one.record.id != 1 for one in correlator.feed(m.served(91, 60, ms=5)))


def test_a_free_worker_is_kept_by_what_it_served_before():
    before = holder(slept(-350, 290), request=6, at_ms=-55, ms=300, tid=4313, target="/report")
    verdict = judge(m.served(1, 0, queue=300, on_cpu=50), before)
    assert told(verdict.chain) == [("request", "GET /report", "sleep", 0.83)]
    assert verdict.summary == "waited 300 ms for a free worker (86 %), because GET /report slept"


@pytest.mark.parametrize("callee_first", [True, False])
def test_a_call_is_followed_into_its_callee_and_to_whom_that_waited_for(callee_first):
    """The callee waited for a lock, which another request of its service held over a query."""
    at = ends.ns(10)
    wait = m.wait("lock", 81, started_ns=at, waker=Waker(4401, 4403, "w", 8))
    asked_by_other = m.wait("calls", 80, started_ns=at, call="recvfrom", peer=PG)
    other = m.served(8, 92, calls=80, on_cpu=2, pid=4401, tid=4403, target="/stock", waits=(asked_by_other,))
    waiting = m.wait("calls", 92, started_ns=ends.ns(9), call="recvfrom", peer=ends.BACK_AT)
    records = [
        msgspec.structs.replace(ends.callee(2, 10, 100), waits=(wait,)),
        msgspec.structs.replace(ends.caller_of(1, 102, ends.call(9, 101)), waits=(waiting,)),
    ]
    _, judged = correlate(ends.INFO, [*ends.MEMBERS, other, *(records if callee_first else records[::-1])])
    front = {request.record.id: request for request in judged}[1]
    assert told(front.verdict.chain) == [
        ("request", "GET /price/7", "lock", 0.87),
        ("request", "GET /stock", "dependency", 0.86),
        ("peer", PG, None, 0.86),
    ]
    assert front.verdict.summary.endswith(
        "where it waits for a lock (99 %), because GET /stock waited for 10.0.0.5:5432"
    )


def test_a_disk_is_a_device():
    wait = m.wait("disk", 300, started_ns=c.at(-310), call="fsync")
    used = (around.files(-1500), around.disk(-1000), around.disk(0, busy_ms=700))
    verdict = judge(m.served(1, 0, disk=300, on_cpu=10, waits=(wait,)), *used)
    assert told(verdict.chain) == [("device", "vda", None, 0.97)]


def test_a_cpu_is_had_by_a_neighbour():
    wait = m.wait("run_queue", 0, started_ns=c.at(-300), call=None)
    wait = msgspec.structs.replace(wait, runnable_ns=290 * m.MS, ahead=Waker(812, 812, "stress-ng", None))
    verdict = judge(m.served(1, 0, run_queue=290, on_cpu=30, waits=(wait,)))
    assert told(verdict.chain) == [("process", "stress-ng (pid 812)", None, 0.91)]
    assert verdict.summary == "waited 290 ms for a CPU (91 %), while stress-ng (pid 812) had it"


def test_a_gil_is_kept_by_what_computes():
    waits = tuple(m.wait("gil", 50, started_ns=c.at(-350 + 50 * n), waker=by(7), waker_stack=REFRESH) for n in range(6))
    record = m.served(1, 0, gil=300, on_cpu=50, waits=waits, code=CODE)
    verdict = judge(record, holder())
    assert told(verdict.chain) == [("request", "GET /refresh/3", "cpu", 0.86)]


def test_the_causes_are_the_mechanisms_that_take_5_percent():
    waits = (lock(-405, 240, by(7)),)
    verdict = judge(m.served(1, 0, lock=240, disk=150, on_cpu=10, waits=waits, code=CODE))
    assert [(one.mechanism, one.share) for one in verdict.causes] == [("lock", 0.6), ("disk", 0.375)]
    unknown = judge(m.served(1, 0, lock=100, disk=100, on_cpu=100, sleep=90))
    assert unknown.mechanism is None
    assert [one.mechanism for one in unknown.causes] == ["lock", "disk", "cpu", "sleep"]


def test_many_requests_have_the_chain_of_most_of_their_time():
    records = []
    for n in range(6):
        at_ms = 1000 * n
        peer = PG if n else "10.0.0.9:6379"
        records.append(holder(asked(at_ms - 400, 390, peer), request=100 + n, at_ms=at_ms - 2))
        records.append(victim(lock(at_ms - 405, 400, by(100 + n)), request=n + 1, at_ms=at_ms))
    endpoint = next(one for one in correlate(m.info(slow_ms=300), records)[0].endpoints if one.route == "/")
    first, second = told(endpoint.verdict.chain)
    assert first == ("request", "GET /refresh/{}", "dependency", 0.95)
    assert second == ("peer", PG, None, 0.79)
    assert endpoint.verdict.causes[0].mechanism == "lock"
