"""What is slow, by default and with a fixed threshold; and what is judged besides."""

import making as m
import pytest

from perfwatch.agent.correlator.engine import Correlator


def feed_all(correlator, durations, **fields):
    """Feed requests of one endpoint, one after the other; returns the judged ones by place."""
    judged = {}
    for place, ms in enumerate(durations, 1):
        for request in correlator.feed(m.served(place, place * 1000, ms=ms, **fields)):
            judged[place] = request
    return judged


@pytest.mark.parametrize(
    ("durations", "slow"),
    [
        pytest.param([5] * 10 + [19.9], [], id="under 20 ms is never slow"),
        pytest.param([5] * 10 + [20], [11], id="20 ms and over 3 times the median"),
        pytest.param([7] * 10 + [21], [], id="exactly 3 times is not over"),
        pytest.param([7] * 10 + [21.1], [11], id="just over 3 times"),
        pytest.param([5, 5, 5, 100], [], id="four durations have no usual"),
        pytest.param([5, 5, 5, 5, 100], [5], id="five have"),
        pytest.param([501], [1], id="over 500 ms at once"),
        pytest.param([500], [], id="500 ms is not over 500 ms"),
        pytest.param([200] * 10 + [601], [11], id="over 500 ms whatever is usual"),
        pytest.param([100] * 10 + [290], [], id="under both"),
        pytest.param([5] * 20 + [100] * 256 + [290], list(range(21, 40)), id="the median follows"),
    ],
)
def test_by_default_slow_is_what_is_unusual_for_its_endpoint(durations, slow):
    correlator = Correlator(m.info())
    judged = feed_all(correlator, durations)
    assert [place for place, request in judged.items() if request.slow] == slow
    assert correlator.view().slow_count == len(slow)


def test_an_endpoint_that_is_always_slow_is_judged_but_not_counted():
    correlator = Correlator(m.info())
    judged = feed_all(correlator, [50] * 10)
    assert list(judged) == list(range(1, 11))
    assert not any(request.slow for request in judged.values())
    view = correlator.view()
    assert view.slow_count == view.endpoints[0].slow_count == 0
    assert view.endpoints[0].judged_count == 10
    assert view.endpoints[0].verdict.mechanism == "cpu"
    assert view.verdict.summary == "GET / always takes long (p50 50 ms): 100 % of it is its own code on the CPU"


def test_its_quick_requests_are_not_judged():
    assert list(feed_all(Correlator(m.info()), [50, 50, 50, 10, 50])) == [1, 2, 3, 5]


def test_a_slow_start_does_not_taint_an_endpoint():
    correlator = Correlator(m.info())
    feed_all(correlator, [30] + [4] * 20)
    assert correlator.view().verdict.principle == "healthy"
    assert correlator.view().endpoints[0].judged_count == 0


def test_endpoints_have_their_own_medians():
    correlator = Correlator(m.info())
    for number in range(1, 21):
        correlator.feed(m.served(number, number, ms=4, target="/quick"))
        correlator.feed(m.served(100 + number, number, ms=100, target="/long"))
    assert correlator.feed(m.served(998, 30, ms=60, target="/quick"))[0].slow
    assert not correlator.feed(m.served(999, 30, ms=120, target="/long"))[0].slow


@pytest.mark.parametrize(("slow_ms", "slow"), [(50, [3, 4]), (50.1, [4]), (0, [1, 2, 3, 4]), (1000, [])])
def test_with_a_fixed_threshold_nothing_else_counts(slow_ms, slow):
    correlator = Correlator(m.info(slow_ms=slow_ms))
    judged = feed_all(correlator, [5, 49.9, 50, 900])
    assert list(judged) == slow
    assert all(request.slow for request in judged.values())
    assert correlator.view().slow_threshold_ms == slow_ms


def test_the_latency_starts_with_the_arrival_or_where_unseen_with_the_first_read():
    correlator = Correlator(m.info(slow_ms=1))
    [seen] = correlator.feed(m.served(1, 0, queue=30, on_cpu=10))
    [unseen] = correlator.feed(m.served(2, 0, queue=30, on_cpu=10, arrived_ns=None))
    assert seen.ledger.total_ns == 40 * m.MS
    assert unseen.ledger.total_ns == 10 * m.MS
