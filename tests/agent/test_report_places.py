"""What a text report says of the code: places, interpreter locks, collectors."""

import coding as c
import making as m
import msgspec
import pytest

from perfwatch.agent.model_queues import GilShare, Interpreter
from perfwatch.agent.report import build, correlate, to_text
from perfwatch.agent.report_cells import cells
from perfwatch.agent.report_contract import Frame
from perfwatch.agent.report_places import collector, interpreter_lock, place_in

PLACES = [
    Frame(function="Cache.get", file="/srv/shop/cache.py", line=61, share=0.834),
    Frame(function="create_app.<locals>.render", file="/srv/shop/views.py", line=41, share=0.05, called="json.dumps"),
    Frame(function="rare", file="/srv/shop/views.py", line=9, share=0.004),
]
INTERPRETER = Interpreter(
    pid=4313,
    version="3.12.1",
    gil_held=0.97,
    gil_handoffs_s=190.4,
    holders=(GilShare(4321, "refresher", 0.62), GilShare(4400, None, 0.2)),
    gc_pauses_s=3.25,
    gc_longest_ms=210.4,
    gc_share=0.12,
    gc_thresholds=(700, 10, 10),
    gc_collections=(60, 20, 10),
    gc_collected=200,
)


def report_with(places, interpreters=(), stack=()):
    info = m.info()
    records = [m.served(n, 1000 * n, lock=600, target=f"/order/{n}") for n in range(1, 4)]
    opened = m.opened(9, 500, 4000, peer="10.0.0.5:5432")
    view, judged = correlate(info, [*records, m.in_flight(4000, opened)])
    queues = msgspec.structs.replace(view.queues_overall, interpreters=tuple(interpreters))
    report = build(info, msgspec.structs.replace(view, queues_overall=queues), judged)
    replace = msgspec.structs.replace
    return replace(
        report,
        endpoints=[replace(one, frames=places) for one in report.endpoints],
        slow_requests=[replace(one, frames=places if one.id == 2 else []) for one in report.slow_requests],
        in_flight=[replace(one, frames=list(stack)) for one in report.in_flight],
    )


def section(text, title):
    lines = text.split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith(f"── {title} "))
    return lines[start + 1 : lines.index("", start)]


def test_places_are_listed_for_endpoints_and_slow_requests():
    assert section(to_text(report_with(PLACES)), "where in the code") == [
        "GET /order/{}",
        "   83 % Cache.get() at cache.py:61",
        "    5 % render() at views.py:41 › json.dumps",
        "14:13:21.400  83 % Cache.get() at cache.py:61;  5 % render() at views.py:41 › json.dumps",
    ]


def test_where_no_code_is_known_nothing_is_said_of_it():
    assert "where in the code" not in to_text(report_with([]))
    assert "where in the code" not in to_text(report_with(PLACES[2:]))


def test_a_request_in_flight_stands_at_a_place():
    stack = [Frame(function=one.function, file=one.file, line=one.line, share=0.0) for one in c.RESULT]
    [line] = section(to_text(report_with([], stack=stack)), "in flight at the end (1)")
    assert "lock in gather() at jobs.py:9 for 10.0.0.5:5432; pid 4313" in line
    [line] = section(to_text(report_with([])), "in flight at the end (1)")
    assert "lock in futex for 10.0.0.5:5432" in line
    assert place_in([]) == ""


def test_interpreters_are_told_among_the_queues():
    told = section(to_text(report_with([], [INTERPRETER]), 200), "queues")
    lock, garbage = told[-2:]
    assert lock.split() == ["gil", *interpreter_lock(INTERPRETER).split()]
    assert garbage.split() == ["gc", *collector(INTERPRETER).split()]
    assert interpreter_lock(INTERPRETER) == (
        "process 4313 (Python 3.12.1): held 97 % of the time, changed hands 190 times a second; "
        "by refresher 62 %, thread 4400 20 %"
    )
    assert collector(INTERPRETER) == (
        "process 4313: 3.2 runs a second, 12 % of the time, the longest 210 ms, "
        "60, 20, 10 runs by generation freed 200 objects; thresholds 700, 10, 10"
    )


@pytest.mark.parametrize(
    ("changes", "lock", "garbage"),
    [
        (
            {"gil_held": None, "gc_pauses_s": None, "gc_share": None, "gc_longest_ms": None},
            "",
            "",
        ),
        (
            {"gil_handoffs_s": None, "holders": (), "gc_longest_ms": None, "gc_collections": (), "gc_thresholds": ()},
            "process 4313 (Python 3.12.1): held 97 % of the time",
            "process 4313: 3.2 runs a second",
        ),
    ],
)
def test_what_is_not_known_is_not_said(changes, lock, garbage):
    one = msgspec.structs.replace(INTERPRETER, **changes)
    assert (interpreter_lock(one), collector(one)) == (lock, garbage)


@pytest.mark.parametrize("width", [72, 100])
def test_hostile_names_stay_harmless_and_within_the_width(width):
    evil = "\x1b[2J\u202e" + "漢" * 300
    places = [Frame(function=evil, file=f"/{evil}", line=2**62, share=0.9, called=evil)] * 4
    interpreter = msgspec.structs.replace(INTERPRETER, version=evil, holders=(GilShare(1, evil, 0.5),) * 5)
    text = to_text(report_with(places, [interpreter], places), width)
    assert max(map(cells, text.split("\n"))) <= width
    assert text.replace("\n", "").isprintable()
