"""What the JSON report says of the code: places of a verdict, stacks of what hangs, where blockers were."""

import json

import making as m
import msgspec
import pytest
import stacked

from perfwatch.agent.model import FrameShare
from perfwatch.agent.report import build, correlate, to_json
from perfwatch.probes.frames import Frame, StackTable

RELEASE = Frame("Lock.release", f"{stacked.STDLIB}/threading.py", 300)
REFRESH = Frame("Cache.refresh", "/srv/shop/shop/cache.py", 88)
EXPIRE = Frame("Cache.expire", "/srv/shop/shop/cache.py", 120)
CODE = StackTable(frames=(RELEASE, REFRESH, EXPIRE, *stacked.OUTER), stacks=((0, 1, 3), (2, 3), (0, 3), (99,), ()))


def report_of(stream, change=lambda judged: judged):
    view, judged = correlate(m.info(), stream)
    return json.loads(to_json(build(m.info(), view, [change(one) for one in judged])))


def blockers(*waits, code=CODE):
    served = m.served(1, 1000, lock=600, waits=waits, code=code)
    return report_of([served])["slow_requests"][0]["blockers"]


def test_a_blocker_is_told_with_its_own_code_that_ended_the_wait():
    (one,) = blockers(m.wait("lock", 300, waker=m.waker(7, 11), waker_stack=0))
    assert (one["function"], one["file"], one["line"], one["share"]) == (*told(REFRESH), 0.5)


def test_of_several_places_the_one_that_cost_most_is_told():
    waits = [m.wait("lock", ms, waker=m.waker(7, 11), waker_stack=at) for ms, at in ((100, 0), (200, 1), (50, 0))]
    (one,) = blockers(*waits, m.wait("lock", 240, waker=m.waker(7, 11)))
    assert (one["function"], one["share"]) == ("Cache.expire", pytest.approx(590 / 600, abs=1e-4))


def test_where_only_library_code_is_known_its_innermost_is_told():
    assert blockers(m.wait("gil", 300, waker=m.waker(7, 11), waker_stack=2))[0]["function"] == "Lock.release"


@pytest.mark.parametrize("place", [None, 3, 4, 77])
def test_without_a_stack_a_blocker_is_a_thread(place):
    (one,) = blockers(m.wait("lock", 300, waker=m.waker(7, 11), waker_stack=place))
    assert (one["tid"], one["function"], one["file"], one["line"]) == (11, None, None, None)


def test_the_places_of_a_verdict():
    places = (FrameShare("rank", "/srv/s.py", 33, 0.912345, "sorted"), FrameShare("f\udc80", "/srv/\udc81", 0, 0.1))
    (one,) = report_of([m.served(1, 1000, lock=600)], lambda request: msgspec.structs.replace(request, frames=places))[
        "slow_requests"
    ]
    assert one["frames"] == [
        {"function": "rank", "file": "/srv/s.py", "line": 33, "share": 0.9123, "called": "sorted"},
        {"function": "f?", "file": "/srv/?", "line": 0, "share": 0.1, "called": None},
    ]


@pytest.mark.parametrize(("state", "share"), [("lock", 0.75), ("on_cpu", 0.0), ("run_queue", 0.0)])
def test_a_request_in_flight_shows_its_stack_and_how_long_it_has_stood_there(state, share):
    stuck = m.opened(9, 4000, 10_000, state, stack=(RELEASE, REFRESH))
    stuck = msgspec.structs.replace(stuck, state_since_ns=stuck.started_ns + 1000 * m.MS)
    (one,) = report_of([m.in_flight(10_000, stuck)])["in_flight"]
    assert [(frame["function"], frame["file"], frame["line"], frame["share"]) for frame in one["frames"]] == [
        (*told(RELEASE), share),
        (*told(REFRESH), share),
    ]


def told(frame):
    return frame.function, frame.file, frame.line
