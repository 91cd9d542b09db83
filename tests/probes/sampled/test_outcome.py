"""What is booked where it is not known since when, or by whom, a request was served."""

from timelines import MS, gil, lock, nap, pool, thread

from perfwatch.probes.records import BUCKETS
from perfwatch.probes.sampled.outcome import outcome
from perfwatch.probes.sampled.pools import Pool, Waiter
from perfwatch.probes.sampled.spans import Match, Service
from perfwatch.probes.wire.exchanges import WireRequest

REQUEST = WireRequest(
    1, 1, "127.0.0.1:8000", "127.0.0.1:4000", 100 * MS, 600 * MS, "GET", "/", 200, 100, 100, "answered", 600 * MS
)
READ_NS = 150 * MS


def contender(tid, turn):
    """A thread that takes its turn for 10 ms of each 40."""
    changes = [(at, 10 if (at // 10) % 4 == turn else 0, gil()) for at in range(10, 700, 10)]
    return thread(tid, gil(), *changes)


def ledger(found):
    return {bucket: ns / MS for bucket, ns in zip(BUCKETS, found.booked.booked_ns, strict=True) if ns}


def match(*threads):
    return Match(tuple(Service(each, None) for each in threads))


def test_where_all_took_turns_at_the_interpreter_lock_so_did_the_request():
    found = outcome(REQUEST, match(*(contender(tid, tid) for tid in range(4))), READ_NS, 4312, 700 * MS)
    booked = ledger(found)
    assert (found.threads, found.pid, found.tid) == ("one", 4312, 4312)
    assert booked.keys() == {"gil", "on_cpu"}
    assert 320 <= booked["gil"] <= 350
    assert sum(booked.values()) <= 450


def test_before_it_was_known_to_be_read_nothing_is_booked():
    threads = [contender(tid, tid) for tid in range(4)]
    assert outcome(REQUEST, match(*threads), None, 4312, 700 * MS).threads == "unmatched"
    assert outcome(REQUEST, match(*threads), 500 * MS, 4312, 700 * MS).threads == "unmatched"


def test_one_that_did_something_else_leaves_it_open():
    napping = thread(9, nap(), (110, 1, nap()), (600, 1, nap()))
    found = outcome(REQUEST, match(contender(1, 1), napping), READ_NS, 4312, 700 * MS)
    assert (found.threads, ledger(found)) == ("unmatched", {})


def test_other_waits_in_common_are_not_booked_without_a_begin():
    nappers = [thread(tid, nap(), (110, 1, nap()), (600, 1, nap())) for tid in (1, 2)]
    assert outcome(REQUEST, match(*nappers), READ_NS, 4312, 700 * MS).threads == "unmatched"


def test_a_wait_on_a_shared_address_is_the_pools_unless_one_waits_further_out():
    shared, first, second = Pool(), Waiter(), Waiter()
    for waiter in (first, second):
        shared.see(waiter, gil())  # a thread's first wait for the interpreter lock says nothing
    shared.see(first, pool())
    assert not shared.is_outermost(pool())  # one thread alone
    shared.see(second, pool())
    assert shared.is_outermost(pool())
    shared.see(first, lock())
    shared.see(second, lock())
    assert not shared.is_outermost(lock())
    assert shared.is_outermost(pool())
