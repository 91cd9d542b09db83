"""Where in the code: stacks that the kernel walked of waits, of those who ended them, of what ran; on each Python."""

from __future__ import annotations

import contextlib
import errno
from collections import Counter
from pathlib import Path

import pytest
import serving
import serving_loops
from ledgering import attached, requests_of, script

from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load
from perfwatch.probes.frames import GcPause
from perfwatch.probes.ledger import probe
from perfwatch.probes.records import InFlight, Loss

pytestmark = pytest.mark.ledger
APPS = Path(__file__).parents[2] / "faults" / "apps"
VERSIONS = [
    *("3.8", "3.11", "3.13"),
    *(pytest.param(version, marks=pytest.mark.slow) for version in ("3.9", "3.10", "3.12")),
]
SEEN = 5


@pytest.fixture(scope="module", params=VERSIONS)
def watched(request):
    """A server on one Python, and the ledger attached to it."""
    python = serving.interpreters().get(request.param)
    if python is None:
        pytest.skip(f"there is no Python {request.param} here")
    with serving.http_server(python=python) as server, attached(server.pid) as ledger:
        yield server, ledger


@contextlib.contextmanager
def loaded(server, *paths):
    with Load(server.address, tuple(Endpoint(Call(path), clients=2, pause_s=0.005) for path in paths)):
        yield


def slow(ledger, path, chosen):
    """Return the requests of a path for which something holds, when there are a few."""

    def found(records):
        right = [each for each in requests_of(records) if each.target == path and chosen(each)]
        return right if len(right) >= SEEN else None

    return ledger.until(found)


def line_of(file, text):
    """Number of the only line of a test server's source with this text."""
    lines = (APPS / file).read_text().splitlines()
    (number,) = [number for number, line in enumerate(lines, 1) if text in line]
    return number


def waits_of(request, bucket):
    return [wait for wait in request.waits if wait.bucket == bucket]


def place(frame):
    """What of a frame is the same on each Python: the last part of the function's name."""
    return frame.function.rpartition(".")[2], frame.file.rpartition("/")[2], frame.line


def python_frames(table, stack):
    return [place(frame) for frame in table.stack(stack) if not frame.is_native]


def test_a_wait_names_its_line_and_all_that_called_it(watched):
    server, ledger = watched
    with loaded(server, "/kept-lock/1?ms=30"):
        requests = slow(ledger, "/kept-lock/1", lambda each: waits_of(each, "lock"))
    stacks = [python_frames(each.code, wait.stack) for each in requests for wait in waits_of(each, "lock")]
    waiting = [stack for stack in stacks if "start" not in [function for function, _, _ in stack]]  # of the keeper
    assert len(waiting) >= SEEN
    for innermost, *outer in waiting:
        assert innermost == ("kept_lock", "coding.py", line_of("coding.py", "        _lock.acquire()"))
        assert [function for function, _, _ in outer][:2] == ["answer", "do_GET"]
        assert outer[-1][:2] == ("_bootstrap", "threading.py")


def test_who_ended_a_wait_is_named_also_outside_of_any_request(watched):
    server, ledger = watched
    with loaded(server, "/kept-lock/2?ms=30"):
        requests = slow(ledger, "/kept-lock/2", lambda each: waits_of(each, "lock"))
    wakers = [
        python_frames(request.code, wait.waker_stack)[0]
        for request in requests
        for wait in waits_of(request, "lock")
        if wait.waker and wait.waker.request is None
    ]
    assert wakers
    assert {(function, file) for function, file, _ in wakers} == {("_keep", "coding.py")}
    held_at = {line_of("coding.py", "        with _lock:"), line_of("coding.py", "            time.sleep(seconds)")}
    assert {line for _, _, line in wakers} <= held_at


def test_what_runs_is_found_at_even_distances_of_cpu_time(watched):
    server, ledger = watched
    with loaded(server, "/cpu/3?ms=50"):
        requests = slow(ledger, "/cpu/3", lambda each: each.ran)
    readings = [python_frames(each.code, ran.stack) for each in requests for ran in each.ran]
    burning = [stack for stack in readings if "burn" in [function for function, _, _ in stack[:2]]]
    assert len(burning) >= 0.9 * len(readings)
    on_cpu_ns = sum(each.booked_ns[1] for each in requests)
    assert 0.7 < len(readings) * 10e6 / on_cpu_ns < 1.3
    for request in requests:
        assert all(request.started_ns <= ran.at_ns <= request.ended_ns for ran in request.ran)


def test_collections_are_told_and_booked(watched):
    server, ledger = watched
    with loaded(server, "/garbage/4?ms=40"):
        requests = slow(ledger, "/garbage/4", lambda each: each.gc_ns)
    pauses = [record for record in ledger.records if isinstance(record, GcPause)]
    for request in requests:
        own = [pause for pause in pauses if pause.request == request.id]
        assert 2 in {pause.generation for pause in own}
        assert sum(pause.cpu_ns for pause in own) == request.gc_ns
        assert request.gc_ns <= request.booked_ns[1]
    # The first one makes the objects that are collected.
    assert sum(request.gc_ns for request in requests) > 0.5 * sum(request.booked_ns[1] for request in requests)


def test_collections_in_an_event_loop_are_booked_to_the_request_that_kept_it():
    with serving_loops.uvicorn() as server, attached(server.pid) as ledger:
        with loaded(server, "/collect/4?ms=40", "/fast/5"):
            collecting = slow(ledger, "/collect/4", lambda each: each.gc_ns)
        others = [each for each in requests_of(ledger.records) if each.target == "/fast/5"]
    for request in collecting:
        assert request.threads == "followed"
        assert 0.5 * request.booked_ns[1] < request.gc_ns <= request.booked_ns[1]
    assert sum(each.gc_ns > 0 for each in others) < 0.1 * len(others)
    pauses = [record for record in ledger.records if isinstance(record, GcPause)]
    assert all(0 < pause.cpu_ns <= pause.paused_ns for pause in pauses[len(pauses) // 2 :])


@pytest.mark.parametrize(
    ("path", "called", "caller"),
    [
        ("/regex/5?ms=30", ".match", "match"),
        ("/sort/5?ms=30", "sorted", "sort"),
        ("/password/5?ms=30", "hashlib.pbkdf2_hmac", "password"),
    ],
)
def test_native_code_is_named_for_what_was_called(watched, path, called, caller):
    server, ledger = watched
    with loaded(server, path):
        requests = slow(ledger, path.partition("?")[0], lambda each: each.ran)
    innermost = Counter(
        (frames[0].function, place(frames[1])[0])
        for each in requests
        for ran in each.ran
        if (frames := each.code.stack(ran.stack))[0].is_native
    )
    assert innermost.most_common(1)[0][0] == (called, caller)


def test_a_request_in_flight_shows_what_runs_and_what_it_waits_in(watched):
    server, ledger = watched

    def shown(function):
        def found(records):
            flights = [record for record in records if isinstance(record, InFlight)]
            stacks = [each.stack for flight in flights for each in flight.requests if each.stack]
            return [stack for stack in stacks if function in [place(frame)[0] for frame in stack[:2]]]

        return found

    with loaded(server, "/cpu/6?ms=600"):
        assert ledger.until(shown("burn"))
    with loaded(server, "/sleep/6?ms=600"):
        assert ledger.until(shown("sleep"))


COLLECTING = """
import gc, sys
gc.disable()
gc.freeze()
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        gc.collect(0)
    print("done", flush=True)
"""


def test_a_program_that_collects_without_end_loses_the_probes_before_they_cost_it_a_hundredth():
    with script(COLLECTING) as (process, _), attached(process.pid) as ledger:
        assert ledger.probe.timed == {process.pid}
        process.stdin.write("20000\n")
        process.stdin.flush()
        ledger.until(lambda _: not ledger.probe.timed)
        assert process.stdout.readline() == "done\n"
        assert [record for record in ledger.records if isinstance(record, GcPause)]
        assert not ledger.probe.timed


def test_where_no_cpu_may_be_looked_at_the_ledger_is_whole_and_says_what_is_missing(monkeypatch):
    def refuse(cpu, period_ns):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(probe, "open_clock", refuse)
    with serving.http_server() as server, attached(server.pid) as ledger, loaded(server, "/cpu/7?ms=30"):
        requests = slow(ledger, "/cpu/7", lambda each: each.booked_ns[1] > 20_000_000)
    assert not any(each.ran for each in requests)
    (told,) = [record.reason for record in ledger.records if isinstance(record, Loss)]
    assert told == "the code that runs cannot be looked at (Permission denied): only what waits has stacks"
