import msgspec
import pytest
from fakes import SECOND, generate, session_info
from judging import view_of

from perfwatch.agent.model import ServedRequest
from perfwatch.tui.choices import ORDERS, Choices
from perfwatch.tui.filtering import EXAMPLES, Sieve, Subject, Unreadable, of_endpoint, of_open, of_request, parse
from perfwatch.tui.sorting import arranged

ORDER = Subject("POST", "/order/{} /order/8812", ("lock", "concurrency"), 480.0, "200", slow=True, failed=False)
REPORT = Subject("GET", "/report/{} /report/7", ("disk", "capacity"), 90.0, "503", slow=False, failed=True)
CUT_OFF = Subject("GET", "/big", (), 5.0, "none", slow=False, failed=True)
ENDPOINT = Subject("POST", "/order/{}", ("lock", "concurrency"), 460.0, None, slow=True, failed=False)
NAMES = {"order": ORDER, "report": REPORT, "cut off": CUT_OFF, "endpoint": ENDPOINT}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", "order report cut off endpoint"),
        ("   ", "order report cut off endpoint"),
        ("ORDER", "order endpoint"),
        ("post lock", "order endpoint"),
        ("post disk", ""),
        ("8812", "order"),
        ("503", "report"),
        ('"order/{} /order"', "order"),
        ("!order", "report cut off"),
        ("!!order", "order endpoint"),
        ("cause:lock", "order endpoint"),
        ("cause:lo", "order endpoint"),
        ("cause:capacity", "report"),
        ("cause:lock,disk", "order report endpoint"),
        ("!cause:lock", "report cut off"),
        ("cause:", "order report cut off endpoint"),
        ("endpoint:/order", "order endpoint"),
        ("ENDPOINT:/ORDER", "order endpoint"),
        ("method:get", "report cut off"),
        ("status:5xx", "report endpoint"),
        ("status:503", "report endpoint"),
        ("status:2", "order endpoint"),
        ("!status:5xx", "order cut off endpoint"),
        ("status:none", "cut off endpoint"),
        ("status>=400", "report endpoint"),
        ("status<400", "order endpoint"),
        ("is:slow", "order endpoint"),
        ("is:failed !is:slow", "report cut off"),
        ("took>90ms", "order endpoint"),
        ("took>=90", "order report endpoint"),
        ("took<0.09s", "cut off"),
        ("took<=5000us", "cut off"),
        ("TOOK>0.4S", "order endpoint"),
        ("took=5", "cut off"),
        ("!took>90ms took>6", "report"),
        ("!", "order report cut off endpoint"),
        ('"', "order report cut off endpoint"),
        ('endpoint:"/order/{} /"', "order"),
    ],
)
def test_what_a_filter_lets_through(text, kept):
    wanted = parse(text)
    assert " ".join(name for name, subject in NAMES.items() if wanted(subject)) == kept


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cause:look", "cause:look: no such cause; there are cpu, gc"),
        (
            "http://x",
            'http: is nothing to filter by; there are cause, endpoint, method, status, is, took>; or quote it: "http:"',
        ),
        ("status:6xx", "status:6xx: not a status; try status:404"),
        ("status>many", "status>many: not a number; try status>500"),
        ("took>", "took>: not a length of time; try took>200ms"),
        ("took<5weeks", "took<5weeks: not a length of time"),
        ("is:green", "is:green: there are is:slow and is:failed"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(text, words):
    with pytest.raises(Unreadable) as caught:
        parse(text)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_the_examples_can_be_read():
    assert parse(EXAMPLES)


VIEW = view_of(generate(30), session_info())


def test_requests_endpoints_and_what_hangs_are_looked_at_alike():
    lock = parse("cause:lock")
    orders = [request for request in VIEW.requests if lock(of_request(request))]
    assert orders
    assert {request.endpoint for request in orders} == {("POST", "/order/{}")}
    assert [end.route for end in VIEW.endpoints if lock(of_endpoint(end))] == ["/order/{}"]
    assert [one.target for one in VIEW.in_flight if lock(of_open(one, SECOND))] == ["/report/7"]
    failed = parse("status:5xx")
    assert all(failed(of_endpoint(end)) for end in VIEW.endpoints)
    assert not any(failed(of_open(one, SECOND)) for one in VIEW.in_flight)


def test_a_sieve_looks_again_at_what_was_judged_anew():
    sieve = Sieve()
    kept = sieve.kept(VIEW.requests, "cause:lock")
    assert sieve.kept(VIEW.requests, "cause:lock") == kept
    assert sieve.kept(VIEW.requests, "") is VIEW.requests
    anew = msgspec.structs.replace(kept[0], verdict=None)
    changed = [anew if request is kept[0] else request for request in VIEW.requests]
    assert sieve.kept(changed, "cause:lock") == kept[1:]
    assert [request.slow for request in sieve.kept(changed, "!is:slow")] == [False] * (len(changed) - 6)


@pytest.mark.parametrize("order", ORDERS)
def test_requests_are_sorted_by_each_column_and_the_other_way_round(order):
    value = {
        "time": lambda one: one.record.ended_ns,
        "took": lambda one: one.ledger.total_ns,
        "endpoint": lambda one: one.endpoint[::-1],
        "status": lambda one: (one.failed, one.record.status),
        "cause": lambda one: one.verdict.mechanism,
    }[order]
    there, back = (list(map(value, arranged(VIEW.requests, Choices(order, reverse=turn)))) for turn in (False, True))
    falls = order in ("time", "took", "status")
    assert there == sorted(there, reverse=falls)
    assert back == sorted(back, reverse=not falls)
    assert sorted(there) == sorted(map(value, VIEW.requests))


def test_among_equals_the_newest_stands_first():
    ended = [
        one.record.ended_ns for one in arranged(VIEW.requests, Choices("cause")) if one.verdict.mechanism == "lock"
    ]
    assert ended == sorted(ended, reverse=True)


def test_a_request_without_an_answer_has_no_status():
    record = next(record for record in generate(5) if isinstance(record, ServedRequest))
    request = msgspec.structs.replace(VIEW.requests[0], record=msgspec.structs.replace(record, status=None))
    assert of_request(request).status == "none"
