import making as m
import msgspec
import pytest

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.report import correlate
from perfwatch.agent.selection import Selection, chosen, latest

TARGETS = ("/order/1", "/order/2", "/orders", "/search", "/search")


def judged():
    """Five requests of 600 ms that ended 1, 2, 3, 4 and 5 s after the start."""
    stream = [m.served(n, n * 1000, lock=600, target=target) for n, target in enumerate(TARGETS, 1)]
    return correlate(m.info(), stream)[1]


def ids(**wanted):
    return [request.record.id for request in chosen(judged(), Selection(**wanted))]


def at(seconds):
    return m.START + int(seconds * m.SECOND)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"endpoint": "GET /order/{}"}, [1, 2]),
        ({"endpoint": "get /ORDERS"}, [3]),
        ({"endpoint": "/order"}, [1, 2, 3]),
        ({"endpoint": "search"}, [4, 5]),
        ({"request": 4}, [4]),
        ({"from_ns": at(3)}, [3, 4, 5]),
        ({"to_ns": at(2.5)}, [1, 2, 3]),
        ({"to_ns": at(2.3)}, [1, 2]),
        ({"from_ns": at(2.5), "to_ns": at(3.9), "endpoint": "search"}, [4]),
    ],
)
def test_which_requests_are_meant(wanted, found):
    assert ids(**wanted) == found


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"request": 6}, "no judged request has the id 6"),
        ({"endpoint": "/nowhere"}, r"the session's are of: GET /order/\{\}, GET /search, GET /orders"),
        ({"from_ns": at(6)}, "no judged request is of that endpoint and time"),
    ],
)
def test_what_no_request_is_of_is_told_with_what_there_is(wanted, told):
    with pytest.raises(PerfwatchError, match=told):
        ids(**wanted)


def test_where_nothing_was_judged_it_says_so():
    with pytest.raises(PerfwatchError, match="there is no judged request"):
        chosen([], Selection(request=1))


def test_of_a_corrected_request_the_last_stands():
    first = judged()[0]
    second = msgspec.structs.replace(first, route="/again")
    assert [request.route for request in latest([first, second])] == ["/again"]


def test_names_in_a_message_are_harmless():
    _, found = correlate(m.info(), [m.served(1, 1, lock=600, target="/\x1b[2J\u202e")])
    with pytest.raises(PerfwatchError) as told:
        chosen(found, Selection(endpoint="/nowhere"))
    assert str(told.value).isprintable()
