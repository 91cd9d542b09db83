import itertools

import asking
import msgspec
from fake_records import booked
from fakes import MS, START_NS, generate

from perfwatch.agent.model import OpenRequest, ServedRequest
from perfwatch.probes.records import InFlight, Wait, Waker
from perfwatch.tui import segments


def served(path):
    return next(r for r in generate() if isinstance(r, ServedRequest) and r.target.startswith(path))


def test_the_stretches_of_a_request_cover_it_without_gap_or_overlap():
    for record in generate():
        if isinstance(record, ServedRequest):
            parts = segments.of_served(record)
            assert parts[-1].start_ns + parts[-1].length_ns == record.ended_ns
            for before, after in itertools.pairwise(parts):
                assert 0 <= after.start_ns - (before.start_ns + before.length_ns) < 50_000


def test_an_order_waits_for_a_lock_and_then_for_postgres():
    parts = segments.of_served(served("/order"))
    assert [part.bucket for part in parts][-5:] == ["on_cpu", "lock", "run_queue", "calls", "on_cpu"]
    assert next(part.note for part in parts if part.bucket == "lock").startswith("woken by refresh-cache 4321")
    assert next(part.note for part in parts if part.bucket == "calls") == "10.0.0.5:5432"


def test_a_wait_has_its_run_queue_part_after_it_and_names_whom_to_blame():
    record = served("/search")
    start = record.started_ns
    wait = Wait(start, 5 * MS, 2 * MS, "lock", "futex", None, None, Waker(1, 2, "\x1b[2J", 77))
    parts = segments.of_served(msgspec.structs.replace(record, arrived_ns=None, waits=(wait,)))
    assert [(part.bucket, part.length_ns) for part in parts[:2]] == [("lock", 5 * MS), ("run_queue", 2 * MS)]
    assert parts[0].blamed == 77
    assert "\x1b" not in parts[0].note


def test_a_run_queue_says_whom_it_queued_behind_and_that_a_quota_was_used_up():
    def notes(**fields):
        wait = Wait(START_NS, 0, 5 * MS, "run_queue", None, None, None, None, **fields)
        record = msgspec.structs.replace(served("/search"), arrived_ns=None, started_ns=START_NS, waits=(wait,))
        part = segments.of_served(record)[0]
        return part.note, part.blamed

    neighbour = Waker(812, 813, "spin\x1b[2J", 9)
    assert notes() == ("preempted, no CPU free", None)
    assert notes(ahead=neighbour) == ("preempted, behind spin\\x1b[2J 813", 9)
    assert notes(throttled_ns=4 * MS) == ("preempted, its quota used up for 4.0 ms", None)


def test_a_wait_for_one_call_says_what_was_asked_and_one_for_the_loop_who_kept_it():
    record = served("/search")
    start = record.started_ns
    waits = (
        Wait(start, 5 * MS, 0, "calls", "recvfrom", None, asking.POSTGRES, None),
        Wait(start + 6 * MS, 5 * MS, 0, "calls", "recvfrom", None, asking.REDIS, None),
        Wait(start + 12 * MS, 5 * MS, 0, "loop", None, None, None, Waker(1, 2, "loop", 77)),
        Wait(start + 18 * MS, 5 * MS, 0, "loop", None, None, None, Waker(1, 2, "loop", 78)),
    )
    calls = [
        asking.call(0, 4, started_ns=start, ended_ns=start + 4 * MS, operation="GET \x1b ?"),
        asking.call(0, 2, started_ns=start + 6 * MS, ended_ns=start + 8 * MS, peer=asking.REDIS),
    ]
    told = asking.asks(record, *calls, waits=waits, culprits=(asking.culprit(77, 5, "/\x1b"),))
    notes = [part.note for part in segments.of_served(told) if part.bucket in {"calls", "loop"}]
    assert notes == ["GET \\x1b ?  10.0.0.5:5432", asking.REDIS, "kept by GET /\\x1b", "woken by loop 2"]


def test_a_request_that_came_while_its_loop_was_busy_did_not_queue_then():
    record = served("/search")
    arrived = record.started_ns - 60 * MS
    waits = (Wait(arrived + 2 * MS, 58 * MS, 0, "loop", None, None, None, Waker(1, 2, "loop", 77)),)
    parts = segments.of_served(msgspec.structs.replace(record, arrived_ns=arrived, waits=waits))
    assert [(part.bucket, part.length_ns) for part in parts[:2]] == [("queue", 2 * MS), ("loop", 58 * MS)]
    assert parts[2].start_ns == record.started_ns


def test_a_request_of_a_million_waits_is_bounded():
    record = served("/search")
    waits = tuple(Wait(START_NS + n, 1, 0, "lock", None, None, None, None) for n in range(10_000))
    assert len(segments.of_served(msgspec.structs.replace(record, waits=waits))) == 2_000


def test_an_open_request_shows_its_present_state():
    open_ = next(r.requests[0] for r in generate() if isinstance(r, InFlight) and r.count and r.requests[0].call)
    parts = segments.of_open(open_, 9_000 * MS)
    assert [(part.bucket, part.length_ns) for part in parts] == [("on_cpu", 3 * MS), ("lock", 9_000 * MS)]
    assert parts[-1].note == "futex 0x7f3a10 still"


def test_an_open_request_that_waited_in_the_queue_shows_that():
    request = OpenRequest(
        1, 2, 3, START_NS, START_NS + MS, "GET", "/", booked(queue=MS), "calls", START_NS + MS, "recvfrom", None,
        "10.0.0.5:5432", "0.0.0.0:8000",
    )  # fmt: skip
    assert [part.bucket for part in segments.of_open(request, MS)] == ["queue", "calls"]
