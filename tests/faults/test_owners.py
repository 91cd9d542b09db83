"""Whose a call is, attached cold under full load, with the tasks that are seen to wait: by the log of the server."""

from collections import Counter

import pytest
import serving
import serving_loops
from faults import services
from faults.catalogue import clients
from faults.following import served
from recording import recording

from perfwatch.examples.load import Load

pytestmark = [pytest.mark.fault, pytest.mark.ledger]
WARM_S, SECONDS = 1, 4
LOAD = (
    clients("/calls-at-once/{n}?ms=70", 3),
    clients("/calls-in-turn/{n}?ms=60", 3),
    clients("/call/{n}?ms=80", 3),
    clients("/nap/{n}?ms=50", 2),
)
LEAST_RIGHT, MOST_WRONG = 0.75, 0.15


def owned(options=()):
    """Return of each call that was made: the path that made it and the one that it was told for, None for nobody."""
    with services.web() as needed, serving_loops.uvicorn(environment=needed) as server:
        with Load(server.address, LOAD) as load:
            load.wait(WARM_S)
            with recording(server.pid, options=options) as recorder:
                load.wait(SECONDS)
                recorder.finish()
                records = served(recorder.file)
        made = [entry for entry in serving.truth(server.address) if entry.kind.startswith("on ")]
    told = {}
    for record in records:
        for call in record.calls:
            told.setdefault(call.local, []).append((call.started_ns, call.ended_ns, record.target))
    began = min(record.started_ns for record in records)
    ended = {record.target for record in records}
    return [
        (entry.path, _told_for(entry, told.get(entry.kind.removeprefix("on "), ())))
        for entry in made
        if entry.start_ns > began and entry.path in ended
    ]


def _told_for(entry, calls):
    """Return for whom a call is told that was begun or under way within the time of one that was made."""
    middle_ns = (entry.start_ns + entry.end_ns) // 2
    return next((target for started, ended, target in calls if started <= middle_ns <= ended), None)


@pytest.mark.slow
def test_calls_are_told_for_whom_they_were_made():
    calls = owned()
    told = Counter("right" if by == path else "unknown" if by is None else "wrong" for path, by in calls)
    assert len(calls) >= 50
    assert told["right"] >= LEAST_RIGHT * len(calls), told
    assert told["wrong"] <= MOST_WRONG * len(calls), told
