"""Pauses of real interpreters, held against what they note themselves by gc.callbacks."""

import pytest
from collecting import NEEDS_WATCHPOINTS, at_any_cost, only_threads, watched
from pythons import EACH

pytestmark = [NEEDS_WATCHPOINTS, pytest.mark.flaky(reruns=1)]
MS = 1_000_000


@pytest.fixture(name="way", params=["cpus", "threads"])
def watch_so(request, monkeypatch):
    at_any_cost(monkeypatch)
    if request.param == "threads":
        only_threads(monkeypatch)
    return request.param


def assert_same(target, noted):
    """One pause for each collection, around it, in its thread; return them paired."""
    target.until(lambda pauses: len(pauses) >= len(noted))
    told = [one for one in target.pauses if one.started_ns <= noted[-1].started_ns]
    assert len(told) == len(noted)
    for pause, collection in zip(told, noted, strict=True):
        assert (pause.pid, pause.tid, pause.source) == (collection.pid, collection.tid, "watchpoint")
        assert pause.started_ns <= collection.started_ns
        assert pause.started_ns + pause.paused_ns >= collection.ended_ns
        assert pause.generation in {None, collection.generation}
    return list(zip(told, noted, strict=True))


@EACH
def test_each_collection_is_one_pause(python, way):
    with watched(python) as target:
        for work in ("gc.collect()", "gc.collect(1)", "gc.collect(0)", "serve(200)", "grow(300000)", "serve(50)"):
            target.do(work)
            target.do("gc.collect()")
        noted = target.collections()
        paired = assert_same(target, noted)
        assert target.lost == 0
    assert len(noted) > 50
    assert {collection.generation for collection in noted} == {0, 1, 2}
    known = [pause for pause, _ in paired if pause.generation is not None]
    assert len(known) > len(paired) * 0.9
    lengths = [(pause.paused_ns, one.ended_ns - one.started_ns) for pause, one in paired]
    long = [(told, noted) for told, noted in lengths if noted >= MS]
    assert len(long) >= 2
    assert sum(told for told, _ in long) == pytest.approx(sum(noted for _, noted in long), rel=0.02)
