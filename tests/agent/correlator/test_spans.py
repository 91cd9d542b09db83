"""Which span is which request, and what routes are called."""

from __future__ import annotations

import msgspec
import pytest
from sessions import INFO, request

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.correlator.spans import Spans
from perfwatch.probes.frames import Frame, Span, StackTable

MS = 1_000_000
START_NS = 5_000 * MS


def served(number, at_ms, length_ms, *, tid=7, threads="one", target="/users/7", method="GET"):
    """A request that arrived at a time and took a time."""
    start_ns = START_NS + at_ms * MS
    end_ns = start_ns + length_ms * MS
    return msgspec.structs.replace(
        request(number, end_ns),
        pid=4312,
        tid=tid,
        arrived_ns=start_ns,
        started_ns=start_ns + MS // 10,
        method=method,
        target=target,
        threads=threads,
    )


def span(at_ms, length_ms, *, pid=4312, tid=7, target="/users/7", method="GET", route="/users/{user}"):
    """The span of such a request, within it."""
    start_ns = START_NS + at_ms * MS + MS // 2
    end_ns = START_NS + (at_ms + length_ms) * MS - MS // 5
    return Span(end_ns, pid, tid, start_ns, end_ns, method, target, route, 200, None)


def found(spans, record):
    kept = Spans()
    for one in spans:
        kept.take(one)
    return kept.of(record)


def test_a_thread_and_a_time_tell_the_span():
    before, own, after, other = span(0, 50), span(50, 50), span(100, 50), span(50, 50, tid=8)
    spans = (before, own, after, other)
    assert found(spans, served(1, 50, 50)) is own
    assert found(spans, served(1, 50, 50, tid=8)) is other
    assert found(spans, served(1, 150, 50)) is None


@pytest.mark.parametrize(
    "changes", [{"pid": 1}, {"method": "POST"}, {"tid": 8, "target": "/users/8"}, {"tid": None, "target": "/other"}]
)
def test_what_was_another_request_is_not_taken(changes):
    assert found([span(0, 50, **changes)], served(1, 0, 50)) is None


def test_a_thread_that_lost_its_cpu_before_it_could_tell_is_believed():
    late = msgspec.structs.replace(span(0, 2), ended_ns=START_NS + 9 * MS)
    assert found([late], served(1, 0, 2)) is late


def test_a_path_that_was_rewritten_is_told_by_thread_and_time():
    own, later = span(0, 50, target="/shop/users/7"), span(50, 50, target="/shop/users/7")
    assert found([own, later], served(1, 0, 50)) is own
    assert found([own, later], served(1, 0, 50, threads="shared")) is None
    assert found([own, later], served(1, 30, 40)) is None


def test_of_an_event_loop_method_target_and_time_tell_it():
    own, other, earlier = span(20, 50), span(20, 50, target="/users/8"), span(0, 15)
    spans = (earlier, other, own)
    assert found(spans, served(1, 20, 50, threads="shared")) is own
    assert found(spans, served(2, 20, 50, threads="shared", target="/users/8")) is other
    assert found(spans, served(3, 20, 50, threads="shared", target="/users/9")) is None


def test_of_several_the_nearest_is_taken():
    first, second = span(0, 60), span(10, 60)
    assert found((first, second), served(1, 0, 60, threads="shared")) is first
    assert found((first, second), served(2, 10, 60, threads="shared")) is second


def test_in_another_pid_namespace_the_target_tells_it():
    own = span(0, 50, tid=None)
    assert found([own], served(1, 0, 50)) is own


def test_a_request_is_called_as_its_route_and_others_with_its_path_too():
    correlator = Correlator(INFO)
    for record in (
        served(1, 0, 5, target="/users/6"),  # before anything is known
        span(10, 5),
        served(2, 10, 5),
        served(3, 20, 5, target="/users/8"),  # its span was dropped
        span(30, 5, target="/blog/some-words", route="/blog/{slug}"),
        served(4, 30, 5, target="/blog/some-words"),
        served(5, 40, 5, target="/blog/other-words"),
    ):
        correlator.feed(record)
    counts = {endpoint.route: endpoint.count for endpoint in correlator.view().endpoints}
    assert counts == {"/users/{}": 1, "/users/{user}": 2, "/blog/{slug}": 1, "/blog/other-words": 1}


def test_a_path_with_two_names_is_folded_where_the_span_is_missing():
    kept = Spans()
    for number, route in enumerate(("/a/<int:id>", "/a/<uuid:id>", "/a/<int:id>")):
        kept.take(span(10 * number, 5, route=route))
        assert kept.route_of(served(number, 10 * number, 5), "/a/{}") == route
    assert kept.route_of(served(9, 100, 5), "/a/{}") == "/a/{}"
    assert kept.route_of(served(9, 100, 5, method="POST"), "/a/{}") == "/a/{}"


def test_a_span_without_a_route_leaves_the_folded_path():
    kept = Spans()
    kept.take(span(0, 5, route=None))
    assert kept.route_of(served(1, 0, 5), "/users/{}") == "/users/{}"


def test_a_correction_keeps_the_name():
    correlator = Correlator(INFO)
    correlator.feed(span(10, 5))
    correlator.feed(served(2, 10, 5))
    correlator.feed(served(2, 10, 6))
    (endpoint,) = correlator.view().endpoints
    assert (endpoint.route, endpoint.count) == ("/users/{user}", 1)


def test_the_tree_comes_with_the_span():
    tree = msgspec.structs.replace(span(0, 50), code=StackTable((Frame("app", "shop.py", 7),), ((0,),)), spent_ns=(7,))
    assert found([tree, span(50, 50)], served(1, 0, 50)) is tree


def test_what_is_kept_is_bounded():
    kept = Spans()
    for number in range(10_000):
        kept.take(span(number, 1, pid=number, target=f"/{number}", route=f"/{number}/{{x}}"))
        kept.route_of(served(number, number, 1, target=f"/{number}"), f"/{number}")
        kept.take(msgspec.structs.replace(span(number, 1), spent_ns=(number,)))
    assert len(kept._by_age) == 4096
    assert sum(map(len, kept._by_key.values())) == 2 * 4096
    assert not any(one.spent_ns for one in kept._by_age)
    assert len(kept._trees) <= 2 * 64
    assert len(kept._routes) <= 2 * 4096
