"""Fifty requests at a time in one event loop: each ledger against what the server says that this request did."""

import collections
import functools

import pytest
import serving_loops
from faults import services
from faults.following import booked_ns, follow, latency_ns, most, unaccounted
from faults.observing import without_query

from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load

pytestmark = [pytest.mark.fault, pytest.mark.ledger, pytest.mark.slow]
SECONDS = 4
IN_FLIGHT = 50
MOST_UNACCOUNTED = 0.02
MOST_OFF = 0.1
MOST_OFF_NS = 1e6
AROUND_NS = 2e6
"""Parsing a request and writing its answer take less of the CPU, with caches that others have emptied."""
LATE_NS = 5e6
LEAST_RIGHT = 0.9
LEAST_LATE = 20

WAITING = {
    "/nap/{n}?ms=200": ("sleep", "sleep", 22),
    "/call/{n}?ms=200": ("calls", "calls", 14),
    "/thread/{n}?ms=200": ("sleep", "sleep", 8),
}
"""Path, the server's name for its wait, the ledger's bucket, how many clients."""
RUNNING = {"/burn/{n}?ms=20": "cpu", "/block/{n}?ms=8": "sleep", "/fast/{n}": "cpu"}
"""Path, the server's name for what it does in the loop; two clients each."""
LOAD = (
    *(Endpoint(Call(path), count) for path, (*_, count) in WAITING.items()),
    *(Endpoint(Call(path), 2, pause_s=0.2) for path in RUNNING),
)
UNLIMITED = ("--budget", "50")
"""What is meant is how right the ledgers are: fifty tasks are read twenty times a second, on however slow a machine."""
KEEPERS = ("/burn/", "/block/")
"""What alone keeps the loop for long."""


def drive(address):
    with Load(address, LOAD) as load:
        load.wait(SECONDS)
    return load.samples


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def followed(request):
    serve = functools.partial(serving_loops.uvicorn, loop=request.param)
    found, _ = follow(serve, drive, services.web, options=UNLIMITED)
    assert sum(endpoint.clients for endpoint in LOAD) == IN_FLIGHT
    assert {sample.status for sample in found.samples} == {200}
    return found


def test_each_request_is_there_once(followed):
    sent = collections.Counter(without_query(sample.path) for sample in followed.samples)
    assert collections.Counter(record.target for record in followed.records) == sent
    assert {record.threads for record in followed.records} == {"followed"}


def test_every_ledger_adds_up(followed):
    off = [unaccounted(record) for record in followed.records]
    assert most(off) <= MOST_UNACCOUNTED, sorted(off)[-10:]
    assert max(unaccounted(record) for record in followed.records if sum(record.booked_ns) > latency_ns(record)) <= (
        MOST_UNACCOUNTED
    )


@pytest.mark.parametrize("path", WAITING)
def test_a_wait_is_as_long_as_the_server_says(followed, path):
    """It lasts at least what was asked for, and at most until the coroutine ran again, which may be late."""
    kind, bucket, _ = WAITING[path]
    asked_ns = float(path.rpartition("=")[2]) * 1e6
    waited_ns = [waited(followed, sample, kind) for sample, _ in followed.pairs(path)]
    assert min(waited_ns) >= asked_ns - MOST_OFF_NS  # uvloop's timers know milliseconds
    booked_ms = followed.endpoint(path)["ledger_ms"][bucket]
    assert (1 - MOST_OFF) * asked_ns <= booked_ms * 1e6 <= (1 + MOST_OFF) * sum(waited_ns) / len(waited_ns)


@pytest.mark.parametrize("path", WAITING)
def test_a_wait_is_not_told_as_something_else(followed, path):
    """Of a single request it may be unknown what its coroutine waited for."""
    _, bucket, _ = WAITING[path]
    asked_ms = float(path.rpartition("=")[2])
    wrong = []
    for _, record in followed.pairs(path):
        ledger = followed.ledgers[record.target]
        unknown_ms = latency_ns(record) / 1e6 - sum(ledger.values())
        hidden_ms = hidden_ns(followed, record.target, asked_ms * 1e6) / 1e6 if bucket == "sleep" else 0
        wrong.append(max(0, asked_ms - ledger[bucket] - ledger["other"] - unknown_ms - hidden_ms) / asked_ms)
    assert most(wrong) <= MOST_OFF, sorted(wrong)[-10:]


def hidden_ns(followed, path, asked_ns):
    """Return for how long another request had kept the loop when a timer ended: it is not seen that it had not yet."""
    until_ns = followed.clocked(path, "sleep", lambda entry: entry.start_ns) + asked_ns
    return sum(until_ns - one.start_ns for one in kept(followed) if one.start_ns < until_ns < one.end_ns)


def kept(followed):
    """Return when some requests kept the loop for long, as the server clocked it."""
    return [entry for entry in followed.truth if entry.kind in {"cpu", "sleep"} and entry.path.startswith(KEEPERS)]


def waited(followed, sample, kind):
    return followed.clocked(sample.path, kind, lambda entry: entry.end_ns - entry.start_ns)


@pytest.mark.parametrize("path", RUNNING)
def test_on_cpu_is_its_own(followed, path):
    """The server clocks the handler alone."""
    off = []
    for sample, record in followed.pairs(path):
        used_ns = followed.clocked(sample.path, RUNNING[path], lambda entry: entry.cpu_ns)
        off_ns = abs(booked_ns(record, "on_cpu") - used_ns)
        off.append(0 if off_ns <= AROUND_NS else off_ns / max(used_ns, AROUND_NS))
    assert most(off) <= MOST_OFF, sorted(off)[-10:]


def test_whoever_kept_the_loop_is_named(followed):
    """Of those that arrived before others kept it for long, and began after that."""
    begun = {entry.path: entry.start_ns for entry in followed.truth if entry.kind == "handler"}
    late = []
    for record in followed.records:
        kept_ns = collections.Counter()
        for one in kept(followed):
            within_ns = min(one.end_ns, begun[record.target]) - max(one.start_ns, record.arrived_ns)
            if one.path != record.target and within_ns > 0:
                kept_ns[one.path] += within_ns
        if kept_ns.total() >= LATE_NS:
            late.append((record, set(kept_ns)))
    assert len(late) >= LEAST_LATE
    right = [record for record, keepers in late if keepers & {culprit.target for culprit in record.culprits}]
    assert len(right) >= LEAST_RIGHT * len(late), [(record.target, record.culprits[:2]) for record, _ in late][:5]


def test_who_is_named_has_kept_the_loop(followed):
    named = [record for record in followed.records if record.culprits and record.culprits[0].held_ns >= LATE_NS]
    assert len(named) >= LEAST_LATE
    right = [record for record in named if ran(followed, record)]
    assert len(right) >= LEAST_RIGHT * len(named), [
        (record.target, record.culprits[0]) for record in named if record not in right
    ][:5]


def ran(followed, record):
    """Tell whether the server says that the one who is named ran while a request was there."""
    path = record.culprits[0].target
    return any(
        one.path == path and one.start_ns < record.ended_ns and one.end_ns > record.arrived_ns for one in kept(followed)
    )


def test_time_in_the_loop_is_what_others_ran_meanwhile(followed):
    """What others' handlers are known to have run before a handler began is less than that: servers work too."""
    begun = {entry.path: entry.start_ns for entry in followed.truth if entry.kind == "handler"}
    run_ns = booked = 0
    for sample in followed.samples:
        path = without_query(sample.path)
        run_ns += sum(
            max(0, min(stretch.end_ns, begun[path]) - max(stretch.start_ns, sample.start_ns))
            for stretch in kept(followed)
            if stretch.path != path
        )
        booked += booked_ns(followed.by_target[path], "loop")
    assert run_ns > 0
    assert booked >= LEAST_RIGHT * run_ns
