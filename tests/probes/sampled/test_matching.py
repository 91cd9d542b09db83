"""Who served a request: told where only one thread could have, and left open otherwise."""

from timelines import MS, RUNNING, gil, lock, loop, nap, pool, reading, thread

from perfwatch.probes.sampled.matching import Matcher
from perfwatch.probes.sampled.spans import Question, Span
from perfwatch.probes.sampled.states import NOT_THERE

CONNECTION = ("127.0.0.1:8000", "127.0.0.1:4000")
OTHER = ("127.0.0.1:8000", "127.0.0.1:4001")


def span(number, arrived_ms, ended_ms, connection=CONNECTION):
    return Span(number, connection, round(arrived_ms * MS), None if ended_ms is None else round(ended_ms * MS))


def who(threads, *spans, matcher=None, now_ms=1000):
    """Return the thread of each request by its number: None where several or none could have served it."""
    questions = [Question(each, threads) for each in spans]
    matches = (matcher or Matcher()).match(questions, now_ms * MS)
    return {
        number: match.services[0].thread.tid
        if len(match.services) == 1 and match.services[0].start_ns is not None
        else None
        for number, match in matches.items()
    }


def worker(tid, *changes):
    rest = pool()
    return thread(tid, rest, *((at, run, rest if state is None else state) for at, run, state in changes), rests=[rest])


def test_the_worker_that_became_busy_and_idle_with_a_request_served_it():
    busy = worker(1, (110, 1, lock()), (310, 1, None))
    idle = worker(2)
    another = worker(3, (150, 1, nap()), (250, 1, None))
    assert who([busy, idle, another], span(1, 105, 305)) == {1: 1}


def test_a_thread_that_waits_for_a_lock_is_told_from_an_idle_one_by_where_it_sleeps():
    holder = worker(1, (110, 1, nap()), (310, 1, None))
    waiter = worker(2, (110, 1, lock()), (330, 1, None))
    assert who([holder, waiter], span(1, 104, 306), span(2, 105, 325)) == {1: 1, 2: 2}


def test_two_requests_that_begin_and_end_together_are_not_told_apart():
    holder = worker(1, (110, 1, nap()), (310, 1, None))
    waiter = worker(2, (110, 1, lock()), (310, 1, None))
    assert who([holder, waiter], span(1, 104, 305), span(2, 105, 306)) == {1: None, 2: None}


def test_who_is_known_to_serve_one_request_cannot_have_served_another():
    early = worker(1, (110, 1, nap()), (310, 1, None))
    late = worker(2, (130, 1, lock()), (310, 1, None))
    accepting = thread(9, loop())
    # Nobody kept the first one waiting, so it was handed out at once; the second came when the first thread was busy.
    assert who([early, late, accepting], span(1, 105, 305)) == {1: 1}
    assert who([early, late, accepting], span(1, 122, 306), span(2, 105, 305)) == {1: 2, 2: 1}
    # Where that is not known, each could have served the second; that one is out for the first is not enough.
    assert who([early, late], span(1, 122, 306), span(2, 105, 305)) == {1: 2, 2: None}


def test_a_short_request_in_the_middle_of_a_long_one_does_not_get_its_thread():
    long = worker(1, *((at, 5, gil()) for at in range(110, 310, 10)), (310, 1, None))
    short = worker(2, (210, 1, nap()), (240, 1, None))
    assert who([long, short], span(1, 105, 305), span(2, 205, 236)) == {1: 1, 2: 2}


def test_a_thread_that_was_busy_before_is_no_candidate_while_a_worker_is_free():
    stuck = worker(1, (60, 1, lock()), (310, 1, None))
    free = worker(2, (110, 1, lock()), (310, 1, None))
    assert who([stuck, free], span(1, 105, 305)) == {1: 2}


def test_a_request_that_nobody_could_have_served_stays_unmatched():
    assert who([worker(1), worker(2, (110, 1, nap()))], span(1, 105, 305)) == {1: None}


def test_a_busy_thread_whose_last_request_is_not_known_is_not_enough():
    assert who([worker(1, (10, 9, RUNNING), (110, 9, RUNNING), (310, 9, RUNNING))], span(1, 105, 305)) == {1: None}


def test_the_thread_that_takes_the_next_request_at_once_serves_both():
    only = worker(1, (110, 1, lock()), (310, 1, nap()), (410, 1, None))
    matcher = Matcher()
    assert who([only], span(1, 105, 305), matcher=matcher) == {1: 1}
    second = matcher.match([Question(span(2, 200, 405), [only])], 1000 * MS)[2]
    assert [(each.thread.tid, each.start_ns) for each in second.services] == [(1, 305 * MS)]


def test_a_thread_on_the_requests_own_connection_is_its():
    own = thread(1, reading(*CONNECTION), (110, 1, nap()), (310, 1, reading(*CONNECTION)))
    other = thread(2, reading(*OTHER), (110, 1, lock()), (310, 1, reading(*OTHER)))
    assert who([own, other], span(1, 105, 305), span(2, 106, 306, OTHER)) == {1: 1, 2: 2}


def test_a_thread_that_was_started_for_a_request_and_ended_with_it_served_it():
    accepting = thread(1, loop(), (110, 1, loop()), (120, 1, loop()))
    born = thread(2, NOT_THERE, (110, 1, nap()))
    born.timeline.end(300 * MS, 310 * MS)
    assert who([accepting, born], span(1, 105, 305)) == {1: 2}


def test_an_event_loop_is_said_to_serve_several():
    watching = loop(CONNECTION, OTHER)
    only = thread(1, watching, (110, 1, watching), (310, 1, watching))
    match = Matcher().match([Question(span(1, 105, 305), [only])], 1000 * MS)[1]
    assert match.services == ()
    assert match.loop is only


def test_an_open_request_is_matched_as_far_as_it_has_come():
    hung, idle = worker(1, (110, 1, lock())), worker(2, (50, 1, nap()), (90, 1, None))
    assert who([hung, idle], span(1, 105, None)) == {1: 1}


def test_a_thread_that_is_busy_without_requests_is_no_candidate():
    metrics = thread(1, nap(), *((at, 1, nap()) for at in range(10, 320, 10)))
    for at in range(30):
        metrics.rests.look(metrics.timeline, at)
    served = worker(2, (110, 1, lock()), (310, 1, None))
    assert metrics.rests.is_background
    assert who([metrics, served], span(1, 105, 305)) == {1: 2}
