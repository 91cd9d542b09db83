"""Requests are followed through every kind of event loop, and through servers that hand them from thread to thread."""

import functools

import pytest
import serving_loops
from faults import services
from faults.following import follow, latency_ns, most, send_in_turn, unaccounted
from faults.observing import without_query

from perfwatch.examples.http_client import Call

pytestmark = [pytest.mark.fault, pytest.mark.ledger]
ROUNDS = 10
MOST_OFF = 0.05
MOST_OFF_NS = 1e6
MOST_UNACCOUNTED = 0.02
MOST_TELL = 0.8

COROUTINES = {
    "/nap/{n}?ms=30": ("sleep", "sleep"),
    "/burn/{n}?ms=30": ("cpu", "on_cpu"),
    "/block/{n}?ms=30": ("sleep", "sleep"),
    "/call/{n}?ms=30": ("calls", "calls"),
    "/thread/{n}?ms=30": ("sleep", "sleep"),
    "/thread-burn/{n}?ms=30": ("cpu", "on_cpu"),
}
"""Path, the server's name for what it spends, the ledger's bucket."""
FUNCTIONS = {
    "/sleep/{n}?ms=30": ("sleep", "sleep"),
    "/cpu/{n}?ms=30": ("cpu", "on_cpu"),
    "/web-call/{n}?ms=30": ("calls", "calls"),
}
GREENLETS = {**FUNCTIONS, "/block/{n}?ms=30": ("sleep", "sleep")}
WORKERS = {f"/sync-{path[1:]}".replace("30", "60"): spent for path, spent in FUNCTIONS.items()}
"""For longer: what a framework computes for each request would be much of 30 ms."""
uvicorn, script = serving_loops.uvicorn, serving_loops.script
SERVERS = {
    "uvicorn-asyncio-h11": (uvicorn, COROUTINES),
    "uvicorn-asyncio-httptools": (functools.partial(uvicorn, http="httptools"), COROUTINES),
    "uvicorn-uvloop-h11": (functools.partial(uvicorn, loop="uvloop"), COROUTINES),
    "uvicorn-uvloop-httptools": (functools.partial(uvicorn, loop="uvloop", http="httptools"), COROUTINES),
    "uvicorn-worker-threads": (functools.partial(uvicorn, "looping_api:app"), WORKERS),
    "hypercorn-asyncio": (serving_loops.hypercorn, COROUTINES),
    "hypercorn-uvloop": (functools.partial(serving_loops.hypercorn, loop="uvloop"), COROUTINES),
    "aiohttp": (functools.partial(script, "looping_aiohttp.py"), COROUTINES),
    "tornado": (functools.partial(script, "looping_tornado.py"), COROUTINES),
    "gunicorn-uvicorn": (serving_loops.gunicorn_uvicorn, COROUTINES),
    "gunicorn-gevent": (serving_loops.gunicorn_gevent, GREENLETS),
    "waitress": (serving_loops.waitress, FUNCTIONS),
}
OTHERS = (Call("/fast/{n}"), Call("/missing/{n}"))
SHOWN_BY_FIRST = {"waitress"}
"""That it hands requests over is seen when the first one is answered by another thread than read it."""
QUICK = {"uvicorn-uvloop-httptools", "waitress"}


def parameters():
    for name in SERVERS:
        yield pytest.param(name, id=name, marks=[] if name in QUICK else [pytest.mark.slow])


@pytest.mark.parametrize("name", parameters())
def test_each_request_is_followed(name):
    serve, spending = SERVERS[name]
    others = [Call(f"/sync-{other.path[1:]}") if spending is WORKERS else other for other in OTHERS[:1]]
    calls = [*(Call(path) for path in spending), *others, Call("/missing/{n}/of/none")]
    followed, environment = follow(serve, lambda address: send_in_turn(address, calls, ROUNDS), services.web)
    assert_each_once(followed)
    wrong = [flaw for path in spending for flaw in misspent(followed, path, *spending[path])]
    called = {
        record.target: ({peer.address for peer in record.peers}, {call.peer for call in record.calls})
        for path, (_, bucket) in spending.items()
        for _, record in followed.pairs(path)
        if bucket == "calls"
    }
    alone = {environment["FAULTY_WEB"]}
    wrong += [f"{target} called {peers}" for target, peers in called.items() if peers != (alone, alone)]
    not_followed = [record for record in followed.records if record.threads != "followed"]
    first = min(followed.records, key=lambda record: record.id)
    if name in SHOWN_BY_FIRST and not_followed == [first]:
        not_followed = []
    wrong += [f"{record.target}: {record.threads} threads" for record in not_followed]
    off = [unaccounted(record) for record in followed.records if record.threads == "followed"]
    if most(off) > MOST_UNACCOUNTED:
        wrong.append(f"unaccounted: {sorted(off)[-10:]}")
    assert not wrong, "\n".join(wrong)


def assert_each_once(followed):
    """Assert that each request was recorded once and as what it was, and took as long as its client says.

    The client may have waited for a CPU before it saw the answer; the kernel knows for how long.
    """
    sent = sorted((without_query(sample.path), sample.status) for sample in followed.samples)
    assert sorted((record.target, record.status) for record in followed.records) == sent
    assert {record.method for record in followed.records} == {"GET"}
    off = []
    for sample in followed.samples:
        taken_ns = sample.end_ns - sample.start_ns
        latency = latency_ns(followed.by_target[without_query(sample.path)])
        off.append(off_of(max(latency - taken_ns, taken_ns - sample.waited_ns - latency), taken_ns))
    assert most(off) <= MOST_OFF, sorted(off)[-10:]


def misspent(followed, path, kind, bucket):
    """Say which requests of a path were booked to a bucket for less than was asked or more than the server says."""
    asked_ns = float(path.rpartition("=")[2]) * 1e6
    off = []
    for sample, record in followed.pairs(path):
        if record.threads != "followed":
            continue
        taken_ns = followed.clocked(sample.path, kind, lambda entry: entry.end_ns - entry.start_ns)
        assert taken_ns >= asked_ns - MOST_OFF_NS  # uvloop's timers know milliseconds
        booked = followed.ledgers[record.target][bucket] * 1e6
        off.append(off_of(max(asked_ns - booked, booked - taken_ns), asked_ns))
    if most(off, MOST_TELL) > MOST_OFF:
        record = followed.pairs(path)[-1][1]
        ledger = {name: ms for name, ms in followed.ledgers[record.target].items() if ms}
        yield f"{path}: {bucket} is off by {[round(part, 3) for part in sorted(off)]}: {record.target} {ledger}"


def off_of(off_ns, whole_ns):
    """Return a difference as part of the whole; up to a millisecond, two clocks differ in good faith."""
    return 0 if off_ns <= MOST_OFF_NS else off_ns / whole_ns
